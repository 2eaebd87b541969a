"""Every step a world can take, legal or not; each says what must come of it before it is taken."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from maxlake.protocol.errors import ErrorCode, MaxlakeError
from maxlake.protocol.messages.write import CreateWriteSessionRequest, StreamAddress, WriteRowsRequest
from maxlake.service import streaming, write_sessions
from tests.service.model import block_steps, stream_steps, table_steps
from tests.service.model.expected import KEYS
from tests.service.model.uploads import PARTS, Body, arrow, flawed, ipc
from tests.service.model.world import ME, World

Step = Callable[[World], None]


def flush(w: World) -> None:
    """A streamed upload, maybe one that came before or is wrong."""
    name, retry_id = w.random.choice("xy"), w.random.choice(["", "", "r1", "r2", "r3"])
    roll = w.random.random()
    rows = w.new_rows({}, count=max(1, w.random.randrange(4)) if roll < 0.1 else None)
    upload = flawed(w.random, rows, {}, w.table) if roll < 0.1 else None
    data = upload.data if upload else ipc(w.random, arrow(w.random, rows, {}, w.table))
    offset = 0 if roll > 0.97 else None
    schema = w.random.choice([None, *w.real_versions.values()])
    request = WriteRowsRequest(
        stream=StreamAddress(session_id="default", stream_id=name, stream_version=1),
        retry_id=retry_id,
        row_offset=offset,
        schema_version=schema,
    )
    earlier = w.flushes.get((name, retry_id))
    code = ErrorCode.INVALID_ARGUMENT if offset is not None else None
    if not code and not earlier and upload:
        code = upload.flaw
    answer = w.expect(code, lambda: streaming.write(w.project, w.target, request, Body(data)))
    if answer is None:
        return
    if earlier:
        assert answer == earlier
        w.check_table()
        return
    assert answer.record_count == len(rows)
    changed = w.table.add(rows)
    assert int(answer.staging_id) > w.staging or not changed
    w.staging = int(answer.staging_id)
    if retry_id:
        w.flushes[name, retry_id] = answer
    w.check_table()


def flush_together(w: World) -> None:
    """Streamed uploads at once, each to a partition of its own, some of them sent again meanwhile."""
    keys = [(pt, hr) for pt in PARTS["pt"] for hr in PARTS["hr"]]
    batches = [w.new_rows(dict(zip(KEYS, key, strict=True)), 2) for key in keys]
    bodies = [ipc(w.random, arrow(w.random, rows, {}, w.table)) for rows in batches]
    address = StreamAddress(session_id="default", stream_id="x", stream_version=1)
    w.groups += 1
    sent = [
        (WriteRowsRequest(stream=address, retry_id=f"group {w.groups}, {number}"), body)
        for number, body in enumerate(bodies)
    ]
    sent += w.random.choices(sent, k=w.random.randint(2, 5))
    with ThreadPoolExecutor(len(sent)) as pool:
        answers = list(
            pool.map(lambda each: streaming.write(w.project, w.target, each[0], Body(each[1])), sent)
        )
    first = dict(zip(bodies, answers, strict=False))
    assert [answer.staging_id for answer in answers] == [first[body].staging_id for _, body in sent]
    for rows in batches:
        w.table.add(rows)
    w.check_table()


def look(w: World) -> None:
    session = w.session(blocks=w.random.random() < 0.2)
    if session:
        w.check_session(session)


def stranger(w: World) -> None:
    """Somebody else's key opens no session, whatever its state."""
    session = w.session()
    if session is None:
        return
    code = ErrorCode.NO_SUCH_OBJECT if session.state == "FORGOTTEN" else ErrorCode.NO_PERMISSION
    for call in (write_sessions.get, write_sessions.abort):
        w.check_refusal(code, lambda call=call: call(w.project, w.target, session.id, "someone else"))
    w.check_session(session)


def create_wrongly(w: World) -> None:
    spec, flags = w.random.choice(
        [("other=1", {}), ("hr=x", {}), ("pt", {}), ("pt=", {}), ("pt=a,pt=b", {}), ("", {"overwrite": "?"})]
    )
    request = CreateWriteSessionRequest(partial_partition_spec=spec, flags=flags)
    w.check_refusal(
        ErrorCode.INVALID_ARGUMENT, lambda: write_sessions.create(w.project, w.target, request, ME)
    )


WEIGHTS: dict[Step, float] = {
    stream_steps.create_session: 4,
    stream_steps.create_stream: 16,
    stream_steps.claim: 3,
    stream_steps.write: 36,
    stream_steps.overtaken: 5,
    stream_steps.close: 7,
    stream_steps.close_all: 7,
    stream_steps.commit: 3,
    stream_steps.commit_listed: 3,
    stream_steps.abort: 1.5,
    block_steps.create: 4,
    block_steps.write: 14,
    block_steps.commit: 5,
    flush: 6,
    flush_together: 1.5,
    table_steps.restart: 1,
    table_steps.expire: 1,
    table_steps.maintain: 1,
    table_steps.much_later: 0.2,
    table_steps.alter: 1.5,
    table_steps.drop_partition: 1.5,
    table_steps.add_partition: 0.7,
    table_steps.pin: 1,
    table_steps.read_pinned: 1.5,
    look: 3,
    stranger: 1,
    create_wrongly: 1,
}


def take(w: World) -> None:
    """Take one step. What goes wrong tells the steps that led to it."""
    (step,) = w.random.choices(list(WEIGHTS), list(WEIGHTS.values()))
    name = f"{step.__module__.rpartition('.')[2].removesuffix('steps')}{step.__name__}"
    w.log.append(name)
    w.done[name] += 1
    try:
        step(w)
    except (AssertionError, MaxlakeError) as error:
        error.add_note(f"step {len(w.log)}, the last of: {' '.join(w.log[-40:])}")
        raise
