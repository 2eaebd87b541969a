"""Steps on sessions that take blocks (wire.md §8.2)."""

from __future__ import annotations

from maxlake.protocol.errors import ErrorCode
from maxlake.protocol.limits import MAX_BLOCKS
from maxlake.protocol.messages.blocks import BlockAddress, CreateBlockSessionRequest, DynamicPartitionOptions
from maxlake.protocol.messages.write import CommitRequest
from maxlake.service import blocks
from tests.service.model.expected import Attempt, Session
from tests.service.model.stream_steps import new_spec
from tests.service.model.uploads import Body, arrow, flawed, ipc
from tests.service.model.world import ME, World


def create(w: World) -> None:
    spec, fixed = new_spec(w)
    limit = w.random.choice([-1, -1, 2, 3])
    overwrite, evolution = w.random.random() < 0.3, w.random.random() < 0.5
    request = CreateBlockSessionRequest(
        partition_spec=spec,
        overwrite=overwrite,
        flags={"enable_schema_evolution": evolution},
        dynamic_partition_options=DynamicPartitionOptions(dynamic_partition_limit=limit),
    )
    created = blocks.create(w.project, w.target, request, ME)
    open_keys = [column.name for column in created.data_schema.partition_columns]
    assert open_keys == [key for key in ("pt", "hr") if key not in fixed]
    w.sessions[created.session_id] = Session(
        created.session_id, fixed, overwrite, evolution, attempts={}, partition_limit=limit
    )


def write(w: World) -> None:
    """An attempt at a block: a new one, a repeated one, one that is refused."""
    session = w.session(blocks=w.random.random() < 0.97)
    if session is None:
        return
    number = w.random.choice([0, 1, 2, 3]) if w.random.random() < 0.98 else MAX_BLOCKS
    attempt = w.random.randrange(3)
    rows = w.new_rows(session.fixed)
    code = ErrorCode.INVALID_ARGUMENT if number == MAX_BLOCKS else session.refusal()
    if not code and session.attempts is None:
        code = ErrorCode.INVALID_ARGUMENT
    earlier = None if code or session.attempts is None else session.attempts.get((number, attempt))
    data = ipc(w.random, arrow(w.random, rows, session.fixed, w.table))
    if rows and w.random.random() < 0.1:
        upload = flawed(w.random, rows, session.fixed, w.table)
        data = upload.data
        code = code or (None if earlier else upload.flaw)
    elif not code and not earlier and not session.within_limit({row.key for row in rows}):
        code = ErrorCode.INVALID_ARGUMENT
    address = BlockAddress(session_id=session.id, block_number=number, attempt_number=attempt)
    answer = w.expect(code, lambda: blocks.write(w.project, w.target, address, Body(data), ME))
    if answer is None or session.attempts is None:
        return
    if earlier:
        assert answer == earlier.answer
        return
    assert answer.record_count == len(rows)
    session.attempts[number, attempt] = Attempt(rows, w.table.version, answer)


def commit(w: World) -> None:
    """A commit of some attempts, each of another block; or a list that cannot be."""
    session = w.session(blocks=True)
    if session is None or session.attempts is None:
        return
    listed: dict[int, Attempt] = {}
    for (number, _), attempt in sorted(session.attempts.items()):
        if w.random.random() < 0.6:
            listed[number] = attempt
    messages = [attempt.answer.commit_message for attempt in listed.values()]
    w.random.shuffle(messages)
    wrong = None
    if w.random.random() < 0.15:
        messages.append(_wrong_message(w, session, messages))
        wrong = ErrorCode.INVALID_ARGUMENT
    again = session.state == "COMMITTED"
    code = session.commit_refusal()
    if not code and not again:
        code = wrong or _unfit(w, session, list(listed.values()))
    request = CommitRequest(commit_messages=tuple(messages))
    answer = w.expect(code, lambda: blocks.commit(w.project, w.target, session.id, request, ME))
    if answer is None or again:
        return
    rows = [row for _, attempt in sorted(listed.items()) for row in attempt.rows]
    w.table.add(rows, session.replaced(rows))
    session.finish("COMMITTED")
    w.check_table()


def _wrong_message(w: World, session: Session, messages: list[str]) -> str:
    """A message twice, another session's, or nobody's."""
    foreign = [
        attempt.answer.commit_message
        for other in w.sessions.values()
        if other is not session and other.attempts
        for attempt in other.attempts.values()
    ]
    return w.random.choice([*messages[:1], *foreign[:3], "{}"])


def _unfit(w: World, session: Session, listed: list[Attempt]) -> ErrorCode | None:
    if not all(session.takes_schema(attempt.schema, w.table.version) for attempt in listed):
        return ErrorCode.SCHEMA_MISMATCH
    keys = {key for attempt in listed for key in attempt.keys}
    return None if session.within_limit(keys) else ErrorCode.INVALID_ARGUMENT
