"""Commits of write sessions: when their rows become visible, all at once (wire.md §8.5, design.md §4)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from maxlake.failpoints import Failpoint, reach
from maxlake.lake import commits, upserts
from maxlake.lake.partitions import PartitionKey
from maxlake.lake.parts import Part
from maxlake.lake.upserts import Upsert
from maxlake.protocol.enums import StreamState, WriteSessionState
from maxlake.protocol.errors import (
    ConflictError,
    DamageError,
    ErrorCode,
    MaxlakeError,
    NotFoundError,
    invalid_argument,
)
from maxlake.protocol.limits import MAX_UPSERT_ATTEMPTS
from maxlake.protocol.messages.write import CommitRequest, CommitResponse
from maxlake.protocol.states import WRITE_SESSION, SessionEvent
from maxlake.protocol.targets import TableTarget
from maxlake.service import schema_versions, session_parts, store
from maxlake.service.project import Project
from maxlake.service.write_sessions import WriteSession, check_not_expired, finish, load

#: Picks the parts of a session that become visible, in their order, and those that do not.
Choice = Callable[[Connection, WriteSession], tuple[list[Part], list[Part]]]


def commit(
    project: Project, target: TableTarget, session_id: str, request: CommitRequest, principal: str
) -> CommitResponse:
    """Make the session's rows visible, all at once; repeating it is harmless (wire.md §8.5, drift.md B.10).

    Raises ``InvalidStreamStatus`` while a stream in scope is open or failed, ``SCHEMA_MISMATCH`` for one of
    another schema version than the table's, ``InvalidSessionStatus`` after abort or expiry.
    """
    if request.commit_messages is not None:
        raise invalid_argument("CommitMessages commit blocks; this session was created to take streams")
    return commit_chosen(
        project,
        target,
        session_id,
        principal,
        lambda connection, session: _committed_parts(connection, session, request),
    )


def commit_chosen(
    project: Project, target: TableTarget, session_id: str, principal: str, choose: Choice
) -> CommitResponse:
    """Make the first parts that ``choose`` returns visible, in their order, and drop the others.

    A session that is committed already is answered without asking. What ``choose`` raises changes nothing.
    Of tables with a primary key ``CommitConflict`` says that others came first, again and again.
    """
    call = _Call(project, target, session_id, principal, choose)
    answer = call.attempt(None)
    return call.upsert() if answer is None else answer


@dataclass(frozen=True)
class _Call:
    """One call that asks for a commit."""

    project: Project
    target: TableTarget
    session_id: str
    principal: str
    choose: Choice

    def _load(self, connection: Connection) -> tuple[WriteSession, bool]:
        """Return the session, and whether it is committed; ``InvalidSessionStatus`` if it never will be."""
        session = load(connection, self.target, self.session_id, self.principal)
        after = WRITE_SESSION.step(
            session.state, SessionEvent.COMMIT, where=session.where, hint="create a new write session"
        )
        if session.state is after:
            return session, True
        check_not_expired(session)
        return session, False

    def attempt(self, upsert: Upsert | None) -> CommitResponse | None:
        """Commit; None, and nothing changed, if the table takes upserts and this is none, or one too late."""
        with self.project.lake.database.write() as connection:
            # Only a refusal in here proves that no row names the files of the upsert: after a COMMIT whose
            # outcome is unknown they must stay.
            try:
                session, committed = self._load(connection)
                if committed:
                    if upsert is not None:  # computed while another process did the same
                        upsert.discard()
                    return CommitResponse()
                parts, discarded = self.choose(connection, session)
                if upsert is None and session.table.options.primary_key and parts:
                    return None
                if upsert is not None and not (upsert.staged == parts and upsert.apply(connection)):
                    upsert.discard()
                    return None
            except MaxlakeError:
                if upsert is not None:
                    upsert.discard()
                raise
            if upsert is None:
                commits.commit(connection, session.table, parts, replaced=_replaced(session, parts))
            else:
                discarded += parts
            finish(connection, self.session_id, WriteSessionState.COMMITTED)
            reach(Failpoint.BEFORE_COMMIT_TRANSACTION)
        reach(Failpoint.AFTER_COMMIT_TRANSACTION)
        session_parts.remove_files(self.project.lake.data, session.table.path, discarded)
        reach(Failpoint.BEFORE_COMMIT_ANSWER)
        return CommitResponse()

    def upsert(self) -> CommitResponse:
        """Commit to a table with a primary key: compute what changes, and again when others were faster."""
        with self.project.lake.database.read() as connection:
            table = self._load(connection)[0].table
        with self.project.lake.upserting(table):
            for _ in range(MAX_UPSERT_ATTEMPTS):
                chosen = self._choose()
                if chosen is None:
                    return CommitResponse()
                upsert = self._prepare(*chosen)
                answer = None if upsert is None else self.attempt(upsert)
                if answer is not None:
                    return answer
        raise upserts.outrun(f"{table.full_name}, write session {self.session_id}")

    def _choose(self) -> tuple[WriteSession, list[Part]] | None:
        """Return the session and the parts to become visible; None if it is committed already."""
        with self.project.lake.database.read() as connection:
            session, committed = self._load(connection)
            return None if committed else (session, self.choose(connection, session)[0])

    def _prepare(self, session: WriteSession, parts: list[Part]) -> Upsert | None:
        """Compute what the session changes; None if the table, or the session, changed meanwhile."""
        name = f"{self.session_id}-commit-{uuid.uuid4().hex[:12]}"
        try:
            return upserts.prepare(self.project.lake, session.table, parts, name, _replaced(session, parts))
        except DamageError:
            # Whoever ends a session, or begins a stream again, removes its files.
            if self._choose() == (session, parts):
                raise
            return None


def _committed_parts(
    connection: Connection, session: WriteSession, request: CommitRequest
) -> tuple[list[Part], list[Part]]:
    """Return the parts in scope, in stream and arrival order, and those left out."""
    streams = connection.execute(
        select(store.stream)
        .where(store.stream.c.session_id == session.session_id)
        .order_by(store.stream.c.position)
    ).all()
    known = {(row.stream_id, row.version) for row in streams}
    asked = _asked(request)
    if asked is not None and asked - known:
        raise NotFoundError(
            ErrorCode.NO_SUCH_OBJECT,
            f"the session has no stream (id, version) {sorted(asked - known)[0]}",
            where=session.where,
        )
    scope = known if asked is None else asked
    unfit = [
        f"{row.stream_id} is {row.state}"
        for row in streams
        if (row.stream_id, row.version) in scope and row.state != StreamState.CLOSED
    ]
    if unfit:
        raise ConflictError(
            ErrorCode.INVALID_STREAM_STATUS,
            f"every stream must be closed before the commit: {', '.join(unfit)}; close open streams, "
            "write failed ones again with a higher version",
            where=session.where,
        )
    chosen: list[Part] = []
    discarded: list[Part] = []
    for row in streams:
        in_scope = (row.stream_id, row.version) in scope
        parts = session_parts.of_stream(connection, session.session_id, row.stream_id)
        (chosen if in_scope else discarded).extend(parts)
        if in_scope:
            where = f"{session.where}, stream {row.stream_id}"
            evolution = session.schema_evolution
            schema_versions.check(session.table, row.schema_version, evolution=evolution, where=where)
            schema_versions.check_values(session.table, parts, where)
    return chosen, discarded


def _asked(request: CommitRequest) -> set[tuple[str, int]] | None:
    """Return the (id, version) pairs to commit, None for every closed stream; an empty list is none."""
    if request.stream_ids is None and request.stream_versions is None:
        return None
    ids, versions = request.stream_ids or (), request.stream_versions or ()
    if len(ids) != len(versions):
        raise invalid_argument("StreamIds and StreamVersions must have the same length")
    return {(str(stream_id), version) for stream_id, version in zip(ids, versions, strict=True)}


def _replaced(session: WriteSession, parts: Sequence[Part]) -> Collection[PartitionKey]:
    """Return the partitions an overwriting session replaces (drift.md B.11)."""
    if not session.overwrite:
        return ()
    fixed = tuple(session.partition[key] for key in session.table.partition_keys if key in session.partition)
    if len(fixed) == len(session.table.partition_keys):
        return {fixed}
    return {part.key for part in parts}
