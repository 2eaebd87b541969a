"""An upload that a program goes on with after its own death: each row is stored once."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from maxlake.client.upload_journal import JournalEntry, UploadJournal, UploadState
from maxlake.protocol.errors import ConflictError, NotFoundError
from maxlake.protocol.limits import CLIENT_REQUEST_BYTES

if TYPE_CHECKING:
    import os
    from collections.abc import Generator
    from types import TracebackType
    from typing import Self

    import pyarrow as pa

    from maxlake.client.arrow import ArrowWriter
    from maxlake.client.enums import Compression
    from maxlake.client.responses import GetWriteStreamResponse
    from maxlake.client.storage_api_arrow import StorageApiArrowClient

_STREAM = 0


class ResumableUpload:
    """Writes batches in a session of ``client``, noted in the file ``journal``, and commits them together.

    A program that was killed opens the same journal again and goes on at row ``row_count`` of its data,
    which must come in the same order: what the service has is not sent again, what it lacks is not left out.
    Leaving the ``with`` block commits; leaving it by an exception leaves everything to the next time. When
    ``is_committed`` there is nothing left to do, and the file can be deleted.

    ``partial_partition_spec`` and ``flags`` are those of ``create_write_session``. Rows are stored by
    requests of about ``request_bytes``, each of them whole or not at all. Of two programs with one journal
    the later keeps the other from writing. Raises ``ValueError`` for a journal of another table or of no
    upload, and the errors of the client, which say when a session is gone.
    """

    def __init__(
        self,
        client: StorageApiArrowClient,
        journal: str | os.PathLike[str],
        partial_partition_spec: str | None = None,
        flags: dict[str, Any] | None = None,
        *,
        compression: Compression | None = None,
        request_bytes: int = CLIENT_REQUEST_BYTES,
    ) -> None:
        self._client = client
        self._journal = UploadJournal(journal)
        self._compression = compression
        self._request_bytes = request_bytes
        self._writer: ArrowWriter | None = None
        self._written_bytes = 0
        self._failed = False
        table = client.table.full_table_name if client.table is not None else ""
        entry = self._journal.read()
        if entry is None:
            session = client.create_write_session(partial_partition_spec, flags)
            entry = JournalEntry(table, session.session_id)
            self._journal.write(entry)
        elif entry.table != table:
            raise ValueError(
                f"{self._journal.path} is the journal of an upload to {entry.table}, not to {table}"
            )
        self._entry = entry
        #: Rows that need not be written again: those of earlier programs, and all given to ``write``.
        self.row_count = entry.row_count
        self._access_token: str | None = None
        if entry.state is UploadState.WRITING:
            state = self._opened()
            self._access_token = state.access_token
            self.row_count = state.row_offset or 0

    @property
    def is_committed(self) -> bool:
        """Whether the rows are visible."""
        return self._entry.state is UploadState.COMMITTED

    def write(self, batch: pa.RecordBatch) -> None:
        """Send the next rows. They are stored for good when ``flush`` or ``commit`` has returned."""
        self._check()
        if self._entry.state is not UploadState.WRITING:
            raise ValueError(f"the upload is {self._entry.state.value}: it takes no more rows")
        if self._writer is None:
            self._writer = self._client.write_rows_arrow(
                self._entry.session_id,
                _STREAM,
                compression=self._compression,
                row_offset=self.row_count,
                access_token=self._access_token,
            )
        with self._failing():
            self._writer.write(batch)
        self.row_count += batch.num_rows
        self._written_bytes += batch.nbytes
        if self._written_bytes >= self._request_bytes:
            self.flush()

    def flush(self) -> None:
        """Wait until all rows that were written are stored."""
        writer, self._writer, self._written_bytes = self._writer, None, 0
        if writer is not None:
            with self._failing():
                writer.finish()

    def commit(self) -> None:
        """Make the rows visible, all at once. May be repeated."""
        if self.is_committed:
            return
        self._check()
        self.flush()
        self._note(UploadState.COMMITTING)
        # Closed before this program, or the last one, died: only the commit is left to be done.
        with suppress(ConflictError):
            self._client.close_write_stream(self._entry.session_id, _STREAM)
        self._client.commit_write_session(self._entry.session_id)
        self._note(UploadState.COMMITTED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()

    @contextmanager
    def _failing(self) -> Generator[None]:
        """What was not stored is not to be committed without."""
        self._failed = True
        yield
        self._failed = False

    def _check(self) -> None:
        if self._failed:
            raise ValueError(f"the upload has failed; open {self._journal.path} again to go on")

    def _opened(self) -> GetWriteStreamResponse:
        session = self._entry.session_id
        try:
            self._client.create_write_stream(session, _STREAM)
            return self._client.get_write_stream(session, str(_STREAM), 0, exactly_once_mode=True)
        except (ConflictError, NotFoundError) as error:
            error.add_note(f"Delete {self._journal.path} to begin anew: no row of this upload is visible.")
            raise

    def _note(self, state: UploadState) -> None:
        self._entry = msgspec.structs.replace(self._entry, state=state, row_count=self.row_count)
        self._journal.write(self._entry)
