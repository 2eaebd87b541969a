"""Steps on write sessions and their streams (wire.md §8.1, §9)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from msgspec import UNSET

from maxlake.protocol.errors import ErrorCode, MaxlakeError
from maxlake.protocol.messages.write import (
    CommitRequest,
    CreateWriteSessionRequest,
    StreamAddress,
    WriteRowsRequest,
    WriteRowsResponse,
)
from maxlake.service import uploads, write_commits, write_sessions, write_streams
from tests.service.model.expected import Session, Stream, Write, outcome, stream_refusal, take
from tests.service.model.table_steps import alter
from tests.service.model.uploads import PARTS, Body, arrow, flawed, ipc
from tests.service.model.world import ME, World

STREAMS = ("0", "1", "s")
UNKNOWN = Session("nobody's", {}, overwrite=False, evolution=False, state="FORGOTTEN")


def new_spec(w: World) -> tuple[str, dict[str, str]]:
    """Return a spec as somebody might write it, and its values as files carry them."""
    fixed = {key: w.random.choice(values) for key, values in PARTS.items() if w.random.random() < 0.5}
    texts = [f"{key}={'00' + value if key == 'hr' else value}" for key, value in fixed.items()]
    return w.random.choice([",", "/"]).join(texts), fixed


def create_session(w: World) -> None:
    spec, fixed = new_spec(w)
    overwrite, evolution = w.random.random() < 0.3, w.random.random() < 0.5
    flags: dict[str, Any] = {"overwrite": w.random.choice([overwrite, str(overwrite)]), "else": 1}
    if evolution:
        flags["enable_schema_evolution"] = "true"
    request = CreateWriteSessionRequest(partial_partition_spec=spec, flags=flags)
    created = write_sessions.create(w.project, w.target, request, ME)
    w.sessions[created.session_id] = Session(created.session_id, fixed, overwrite, evolution)


def some_session(w: World) -> Session:
    """Any session, mostly one that takes writes; one in a while that nobody has created."""
    if w.random.random() < 0.8 and not any(
        each.writable and each.attempts is None for each in w.sessions.values()
    ):
        create_session(w)
    return (w.random.random() < 0.98 and w.session()) or UNKNOWN


def create_stream(w: World) -> None:
    """A new stream, the same again, or another version."""
    session, name = some_session(w), w.random.choice(STREAMS)
    old = session.streams.get(name)
    present = old.version if old else 0
    replaces = old is not None and (old.state == "ERROR" or w.random.random() < 0.3)
    version = present + 1 if replaces else max(0, present + w.random.choice([-1, 0, 0, 0, 0, 2]))
    exactly_once = w.random.random() < 0.4
    code = session.refusal()
    if not code and old and version <= present and (version < present or old.state != "OPEN"):
        code = ErrorCode.INVALID_STREAM_STATUS
    address = StreamAddress(session_id=session.id, stream_id=name, stream_version=version)
    created = w.expect(
        code,
        lambda: write_streams.create(w.project, w.target, address, ME, exactly_once=exactly_once),
    )
    if created is None:
        return
    if old is None or version > old.version:
        void(session, old)
        session.streams[name] = Stream(version, w.table.version)
    stream = session.streams[name]
    assert created.schema_version == w.real_versions[stream.schema]
    claimed(session, stream, created, asked=exactly_once)


def void(session: Session, stream: Stream | None) -> None:
    if stream and stream.token:
        session.void_tokens.append(stream.token)


def claimed(session: Session, stream: Stream, answer: Any, *, asked: bool) -> None:
    """A token, if one was asked for, voids those before it."""
    if not asked:
        assert (answer.access_token, answer.row_offset) == (UNSET, UNSET)
        return
    assert answer.row_offset == len(stream.rows)
    void(session, stream)
    stream.token = answer.access_token
    assert stream.token not in session.void_tokens


def some_address(w: World, session: Session) -> StreamAddress:
    """An (id, version), mostly one there is."""
    name = w.random.choice(list(session.streams) or ["0"]) if w.random.random() < 0.97 else "unheard-of"
    stream = session.streams.get(name)
    version = stream.version if stream else 0
    if w.random.random() < 0.06:
        version = max(0, version + w.random.choice([-1, 1]))
    return StreamAddress(session_id=session.id, stream_id=name, stream_version=version)


def claim(w: World) -> None:
    """A writer takes a stream over."""
    session = some_session(w)
    address = some_address(w, session)
    code = session.hidden() or stream_refusal(session, address.stream_id, address.stream_version)
    answer = w.expect(code, lambda: write_streams.get(w.project, w.target, address, ME, exactly_once=True))
    if answer:
        claimed(session, session.streams[address.stream_id], answer, asked=True)


def close(w: World) -> None:
    session = some_session(w)
    close_one(w, session, some_address(w, session))


def close_one(w: World, session: Session, address: StreamAddress) -> None:
    code = session.hidden() or stream_refusal(session, address.stream_id, address.stream_version)
    stream = session.streams.get(address.stream_id)
    if not code and stream and stream.state == "ERROR":
        code = ErrorCode.INVALID_STREAM_STATUS
    answer = w.expect(code, lambda: write_streams.close(w.project, w.target, address, ME))
    if answer is not None and stream is not None:
        stream.state = "CLOSED"
        incomplete = stream.declared > len(stream.rows)
        assert ("data_incomplete" in answer.warning_message) is incomplete


def close_all(w: World) -> None:
    """What a client does before it commits: failed streams are written again, all are closed."""
    session = w.session()
    if session is None or not session.writable:
        return
    for name, stream in list(session.streams.items()):
        address = StreamAddress(session_id=session.id, stream_id=name, stream_version=stream.version)
        if stream.state != "ERROR":
            close_one(w, session, address)
            continue
        address = StreamAddress(session_id=session.id, stream_id=name, stream_version=stream.version + 1)
        write_streams.create(w.project, w.target, address, ME)
        void(session, stream)
        session.streams[name] = Stream(address.stream_version, w.table.version)
        close_one(w, session, address)
    commit_session(w, session, CommitRequest(), None)


def new_write(w: World, session: Session) -> tuple[Write, bytes]:
    """A TableWrite, mostly one that is in order; its rows are of the columns there are now."""
    random, address = w.random, some_address(w, session)
    stream = session.streams.get(address.stream_id)
    write = Write(session, address.stream_id, address.stream_version, [])
    if stream and stream.token:
        write = addressed(w, session, stream, write)
    elif random.random() < 0.03:
        write = replace(write, offset=0)
    count = None
    if stream and write.offset in stream.offsets:
        count = stream.offsets[write.offset].count + random.choice([0, 0, 0, 1, -1])
    elif random.random() < 0.08:
        upload = flawed(random, w.new_rows(session.fixed, random.choice([1, 3])), session.fixed, w.table)
        return replace(write, flaw=upload.flaw), upload.data
    rows = w.new_rows(session.fixed, count)
    schemas = [None, None, None, stream.schema if stream else None, w.table.version]
    write = replace(
        write,
        rows=rows,
        cut=random.random() < 0.03,
        declared=random.choice([0, 0, 0, len(rows), len(rows) + 2, 1]),
        retry_id=random.choice(["", "", "", "r1", "r2", "r3"]),
        other_table=random.random() < 0.02,
        schema=random.choice(schemas),
    )
    return write, ipc(random, arrow(random, rows, session.fixed, w.table))


def addressed(w: World, session: Session, stream: Stream, write: Write) -> Write:
    """Add an offset and a token: mostly the next and the latest."""
    random, end = w.random, len(stream.rows)
    roll = random.random()
    if roll < 0.2:
        offset: int | None = random.choice([*stream.offsets, end])
    elif roll < 0.3:
        offset = random.choice([None, end + 1, end + 1000, max(0, end - 1)])
    else:
        offset = end
    token = stream.token
    if random.random() < 0.1:
        token = random.choice(["", "é", "guessed", *session.void_tokens])
    return replace(write, offset=offset, token=token)


def write(w: World) -> None:
    session = some_session(w)
    perform(w, *new_write(w, session))


def overtaken(w: World) -> None:
    """While rows are on their way something else happens to the same table."""
    session = w.session()
    if session is None:
        return
    sent, data = new_write(w, session)
    expected = outcome(sent, w.table)
    if expected.refusal or expected.earlier or sent.cut:
        return
    meanwhile = w.random.choice([create_stream, claim, close, close_all, commit, abort, write, alter])
    w.log.append(f"({meanwhile.__name__})")
    perform(w, sent, data, lambda: meanwhile(w))


def perform(w: World, sent: Write, data: bytes, meanwhile: Callable[[], None] | None = None) -> None:
    """Send a write, and see that what comes of it is what must."""
    expected = outcome(sent, w.table)

    def happen() -> None:
        nonlocal expected
        if meanwhile:
            meanwhile()
            expected = outcome(sent, w.table)

    body = Body(data, happen, cut=sent.cut)
    try:
        answer = uploads.write(w.project, w.target, _request(w, sent), body, ME)
    except MaxlakeError as error:
        w.refused_with(error, expected.refusal)
        if expected.fails:
            stream = sent.session.streams[sent.stream_id]
            stream.state, stream.error = "ERROR", str(error.code)
    except ConnectionResetError:
        assert sent.cut
    else:
        assert not (expected.refusal or sent.cut), (expected, answer)
        _answered(sent, expected.earlier.answer if expected.earlier else None, answer)
    if sent.session is not UNKNOWN and w.random.random() < 0.3:
        w.check_session(sent.session)


def _request(w: World, sent: Write) -> WriteRowsRequest:
    return WriteRowsRequest(
        stream=StreamAddress(
            session_id=sent.session.id, stream_id=sent.stream_id, stream_version=sent.version
        ),
        count=sent.declared,
        table_id="other" if sent.other_table else "",
        schema_version=None if sent.schema is None else w.real_versions[sent.schema],
        row_offset=sent.offset,
        access_token=sent.token,
        retry_id=sent.retry_id,
    )


def _answered(sent: Write, earlier: WriteRowsResponse | None, answer: WriteRowsResponse) -> None:
    if earlier:
        assert answer == earlier
        return
    assert answer.commit_message
    assert answer.record_count == len(sent.rows)
    assert ("data_incomplete" in answer.warning_message) is (sent.declared > len(sent.rows))
    take(sent, answer)
    end = len(sent.session.streams[sent.stream_id].rows)
    assert answer.exactly_once_row_offset == (UNSET if sent.offset is None else end)


def commit(w: World) -> None:
    commit_session(w, some_session(w), CommitRequest(), None)


def commit_listed(w: World) -> None:
    """A commit of some streams, some of which there may not be."""
    session = some_session(w)
    scope = {name: each.version for name, each in session.streams.items() if w.random.random() < 0.6}
    if w.random.random() < 0.1:
        scope["unheard-of"] = 0
    request = CommitRequest(stream_ids=tuple(scope), stream_versions=tuple(scope.values()))
    if scope and w.random.random() < 0.05:
        request = CommitRequest(stream_ids=tuple(scope))
        commit_session(w, session, request, scope, ErrorCode.INVALID_ARGUMENT)
    elif w.random.random() < 0.05:
        request = CommitRequest(commit_messages=())
        w.check_refusal(
            ErrorCode.INVALID_ARGUMENT,
            lambda: write_commits.commit(w.project, w.target, session.id, request, ME),
        )
    else:
        commit_session(w, session, request, scope)


def commit_session(
    w: World,
    session: Session,
    request: CommitRequest,
    scope: dict[str, int] | None,
    wrong: ErrorCode | None = None,
) -> None:
    again = session.state == "COMMITTED"
    chosen = session.streams if scope is None else {name: session.streams.get(name) for name in scope}
    code = session.commit_refusal()
    if not code and not again:
        code = wrong or _unfit(w, session, list(chosen.values()))
    answer = w.expect(code, lambda: write_commits.commit(w.project, w.target, session.id, request, ME))
    if answer is None or again:
        return
    assert answer.session_status == "COMMITTED"
    rows = [row for name, stream in session.streams.items() if name in chosen for row in stream.rows]
    w.table.add(rows, session.replaced(rows))
    session.finish("COMMITTED")
    w.check_table()
    w.check_session(session)


def _unfit(w: World, session: Session, chosen: list[Stream | None]) -> ErrorCode | None:
    """Why streams cannot be committed (drift.md B.10)."""
    streams = [stream for stream in chosen if stream]
    if len(streams) < len(chosen):
        return ErrorCode.NO_SUCH_OBJECT
    if any(stream.state != "CLOSED" for stream in streams):
        return ErrorCode.INVALID_STREAM_STATUS
    latest = w.table.version
    fit = all(session.takes_schema(stream.schema, latest) for stream in streams)
    return None if fit else ErrorCode.SCHEMA_MISMATCH


def abort(w: World) -> None:
    session = (w.random.random() < 0.2 and w.session(blocks=True)) or some_session(w)
    code = session.abort_refusal()
    w.expect(code, lambda: write_sessions.abort(w.project, w.target, session.id, ME))
    if code is None:
        session.finish("ABORTED")
        w.check_table()
