"""BlobRead, and what else looks where references lead (wire.md §11.3, §11.4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from maxlake.lake import blob_uses, ducklake
from maxlake.lake.blob_store import BlobReader
from maxlake.protocol import blob_references
from maxlake.protocol.blob_references import BlobReference
from maxlake.protocol.enums import WriteSessionState
from maxlake.protocol.errors import ErrorCode, NotFoundError, invalid_argument
from maxlake.protocol.limits import MAX_BLOBS_PER_BATCH
from maxlake.service import store
from maxlake.service.project import Project
from maxlake.service.service import Service


@dataclass(frozen=True)
class FoundBlob:
    """A blob that may be read, by one thread; its reader is others' too."""

    reference: BlobReference
    _reader: BlobReader

    def pieces(self) -> Iterator[bytes]:
        """Yield the blob in pieces. Raises DamageError, before the last one at the latest."""
        return self._reader.read(self.reference.location)

    def close(self) -> None:
        """Release the file that is open."""
        self._reader.close()


def find(service: Service, references: Sequence[str]) -> list[FoundBlob]:
    """Return the blobs that references lead to, in their order.

    Raises ``NoSuchObject`` for one that we have not made, or whose project, table, session or blob is no
    more: then none of them is read.
    """
    if len(references) > MAX_BLOBS_PER_BATCH:
        raise invalid_argument(f"one request reads at most {MAX_BLOBS_PER_BATCH} blobs; send several")
    projects: dict[str, Project] = {}
    unsealed: list[BlobReference] = []
    for number, text in enumerate(references):
        reference = _unsealed(service, projects, text)
        if reference is None:
            raise _unknown(number, "it was not made by this service")
        unsealed.append(reference)
    of_project: defaultdict[str, list[BlobReference]] = defaultdict(list)
    for reference in unsealed:
        of_project[reference.project].append(reference)
    living = {name: _living(projects[name], found) for name, found in of_project.items()}
    for number, reference in enumerate(unsealed):
        if reference.location.object_name not in living[reference.project]:
            raise _unknown(number, "its table was dropped, its session aborted, or the blob collected")
    readers = {name: BlobReader(projects[name].lake.blobs) for name in of_project}
    return [FoundBlob(reference, readers[reference.project]) for reference in unsealed]


def _unknown(number: int, why: str) -> NotFoundError:
    return NotFoundError(ErrorCode.NO_SUCH_OBJECT, f"reference {number} (from 0) leads to no blob: {why}")


def _unsealed(service: Service, projects: dict[str, Project], value: str) -> BlobReference | None:
    text = blob_references.decoded(value)
    name = blob_references.project_of(text) if text else None
    if text is None or name is None:
        return None
    if name not in projects:
        try:
            projects[name] = service.project(name)
        except NotFoundError:
            return None
    return blob_references.unseal(text, projects[name].lake.blob_key)


def _living(project: Project, references: Collection[BlobReference]) -> set[str]:
    """Return those objects of references that are there and may be read."""
    table_ids = {reference.table_id for reference in references}
    objects = {reference.location.object_name for reference in references}
    table = ducklake.table
    with project.lake.database.read() as connection:
        # Also of a dropped table: rows of it can be read as long as a version or a session has them.
        known = set(
            connection.execute(select(table.c.table_id).where(table.c.table_id.in_(table_ids))).scalars()
        )
        dead = aborted(connection, objects)
    of_known = {r.location.object_name for r in references if r.table_id in known}
    return {name for name in of_known - dead if project.lake.blobs.has(name)}


def aborted(connection: Connection, objects: Collection[str]) -> set[str]:
    """Return the objects of aborted sessions to which no committed row refers."""
    by_session = {use.session_id: set(use.objects) for use in blob_uses.by_session(objects)}
    session = store.write_session
    ids = connection.execute(
        select(session.c.session_id).where(
            session.c.session_id.in_(by_session), session.c.state == WriteSessionState.ABORTED
        )
    ).scalars()
    dead: set[str] = set()
    for session_id in ids:
        dead |= by_session[session_id] - blob_uses.used(connection, session_id)
    return dead
