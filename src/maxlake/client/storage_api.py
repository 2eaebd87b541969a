"""The documented client of Storage API V2: rows and sessions of one table, or of one instance's result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from maxlake.client import builders, parsers
from maxlake.client.blob_api import BlobApi
from maxlake.client.connected import require
from maxlake.client.errors import ClientError, CommitOutcomeUnknownError
from maxlake.client.requests import (
    CloseWriteStreamRequest,
    CreateReadSessionRequest,
    CreateWriteSessionRequest,
    CreateWriteStreamRequest,
    PreviewTableRequest,
    ReadStreamRequest,
    WriteStreamRequest,
)
from maxlake.client.resumable_rows import ResumableRows, UnresumableRows
from maxlake.client.streams import StreamReader, StreamWriter
from maxlake.client.upload_spool import UploadSpool
from maxlake.protocol.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from maxlake.client.download import Download
    from maxlake.client.enums import Compression
    from maxlake.client.exchange import Answer, HttpRequest
    from maxlake.client.options import ArrowOptions, DataFormat, IncrementalReadOptions, SplitOptions
    from maxlake.client.responses import (
        CloseWriteStreamResponse,
        CreateReadSessionResponse,
        CreateWriteSessionResponse,
        CreateWriteStreamResponse,
        GetWriteSessionResponse,
        GetWriteStreamResponse,
    )
    from maxlake.client.upload import Upload


class StorageApiClient(BlobApi):
    """Client of Storage API V2 for one table, or read-only for one SQL instance's result.

    ``rest_endpoint`` (may end in ``/api``) replaces the discovery of the tunnel endpoint.
    ``quota_name`` goes with every call, and so do ``tags``: a list, a text with commas, or by default
    ``options.tunnel.tags``. A client may be used from many threads.

    Raises ``ValueError`` if ``odps`` is not an ``ODPS`` or ``table_or_instance`` neither a ``Table``
    nor an ``Instance``. Its methods raise errors of ``odps.errors`` (see ``maxlake.client.errors``),
    and ``ValueError`` for bad arguments before anything is sent.
    """

    def create_read_session(
        self,
        required_data_columns: list[str] | None = None,
        required_partition_columns: list[str] | None = None,
        required_partitions: list[str] | None = None,
        required_bucket_ids: list[Any] | None = None,
        split_options: SplitOptions | None = None,
        arrow_options: ArrowOptions | None = None,
        filter_predicate: str | None = None,
        filter_predicate_fallback: bool | None = None,
        split_max_file_num: int | None = None,
        incremental_read: bool | None = None,
        incremental_read_options: IncrementalReadOptions | None = None,
    ) -> CreateReadSessionResponse:
        """Pin a version of the data and cut it into splits.

        Empty or absent lists mean all columns, all partitions, all buckets; ``required_partitions``
        holds specs such as ``pt=1,region=a``. By default splits are of 256 MiB; ``split_max_file_num``
        bounds the files of one, 0 does not. ``filter_predicate`` is a condition in ODPS SQL, evaluated row
        by row if need be with ``filter_predicate_fallback``. ``incremental_read`` shows the changes that
        ``incremental_read_options`` name (wire.md §4.1).
        """
        chosen: dict[str, Any] = {
            "required_data_columns": required_data_columns,
            "required_partition_columns": required_partition_columns,
            "required_partitions": required_partitions,
            "required_bucket_ids": required_bucket_ids,
            "split_options": split_options,
            "arrow_options": arrow_options,
            "filter_predicate": filter_predicate,
            "filter_predicate_fallback": filter_predicate_fallback,
            "split_max_file_num": split_max_file_num,
            "incremental_read": incremental_read,
            "incremental_read_options": incremental_read_options,
        }
        given = {name: value for name, value in chosen.items() if value is not None}
        request = builders.create_read_session(self._target, CreateReadSessionRequest(**given))
        return parsers.read_session(self._call(request))

    def get_read_session(self, session_id: str, refresh: bool = False) -> CreateReadSessionResponse:
        """Return the state of a read session; with ``refresh``, extend its life first, even if expired."""
        require(session_id=session_id)
        request = builders.get_read_session(self._target, session_id, refresh=refresh)
        return parsers.read_session(self._call(request))

    def read_rows_stream(
        self,
        session_id: str | None = None,
        split_index: int | None = None,
        row_offset: int | None = None,
        row_count: int | None = None,
        max_batch_rows: int = 4096,
        skip_row_num: int = 0,
        max_batch_raw_size: int = 0,
        data_format: DataFormat | None = None,
        data_columns: list[str] | None = None,
        compression: Compression | None = None,
        route_token: str | None = None,
    ) -> StreamReader:
        """Stream the rows of a split, or of the whole session without ``split_index``.

        ``row_offset`` and ``row_count`` select rows in there, whose first ``skip_row_num`` are then
        dropped. Batches hold at most ``max_batch_rows`` rows and, unless 0, about
        ``max_batch_raw_size`` bytes. ``data_columns`` is a choice among the session's columns.

        When the connection breaks or the service is busy, reading goes on at the same row; a session that
        has expired is refreshed.
        """
        require(session_id=session_id)
        rows = ReadStreamRequest(
            session_id,
            split_index,
            row_offset,
            row_count,
            max_batch_rows,
            skip_row_num,
            max_batch_raw_size,
            data_format,
            data_columns,
            compression,
        )

        budget = self._budget()

        def open_after(row_count: int) -> Download:
            rest = msgspec.structs.replace(rows, skip_row_num=skip_row_num + row_count)
            request = builders.read_rows(self._target, rest, self._token(route_token))
            try:
                return self._download(request, budget.deadline)
            except ConflictError:
                if self._target.is_instance:
                    raise
            # A session is in no other state that can be changed: it has expired (wire.md §4.2).
            self._call(builders.get_read_session(self._target, str(session_id), refresh=True), budget)
            return self._download(request, budget.deadline)

        return StreamReader.of_rows(ResumableRows(open_after, budget, self.memory.reservation()))

    def preview_table(
        self,
        limit: int | None = None,
        partition: str | None = None,
        columns: list[str] | None = None,
    ) -> StreamReader:
        """Stream some rows without a session: at most ``limit`` (the service's default when ``None``)."""
        self._require_table("preview")
        request = builders.preview_table(self._target, PreviewTableRequest(limit, partition, columns))
        budget = self._budget()
        memory = self.memory.reservation()
        rows = UnresumableRows(lambda: self._download(request, budget.deadline), budget, memory)
        return StreamReader.of_rows(rows)

    def create_write_session(
        self, partial_partition_spec: str | None = None, flags: dict[str, Any] | None = None
    ) -> CreateWriteSessionResponse:
        """Begin a write: nothing is visible before it is committed, then everything at once.

        ``partial_partition_spec`` names all, some or none of the partition keys, as in
        ``pt=1,region=a``. The flag ``overwrite`` replaces what the target holds.
        """
        self._require_table("create_write_session")
        session = CreateWriteSessionRequest(
            partial_partition_spec=partial_partition_spec or "", flags=flags or {}
        )
        return parsers.write_session(self._call(builders.create_write_session(self._target, session)))

    def get_write_session(self, session_id: str) -> GetWriteSessionResponse:
        """Return the streams of a write session."""
        self._require_table("get_write_session")
        require(session_id=session_id)
        return parsers.write_session_state(self._call(builders.get_write_session(self._target, session_id)))

    def commit_write_session(
        self,
        session_id: str,
        stream_ids: list[str] | None = None,
        stream_versions: list[int] | None = None,
        route_token: str | None = None,
    ) -> None:
        """Make the rows of all closed streams visible, or of the listed ones, given as ids and versions.

        When the answer is lost, the session is looked up, and committed again: that is harmless (wire.md
        §8.5). Raises ``CommitOutcomeUnknownError`` if the service refuses that.
        """
        self._require_table("commit_write_session")
        require(session_id=session_id)
        streams = _stream_lists(stream_ids, stream_versions)
        request = builders.commit_write_session(self._target, session_id, streams, self._token(route_token))
        parsers.acknowledged(self._commit(session_id, request))

    def _commit(self, session_id: str, request: HttpRequest) -> Answer:
        budget = self._budget()
        lost: ClientError | None = None
        while True:
            try:
                if lost is not None:
                    self._call(builders.get_write_session(self._target, session_id), budget)
                return self._call(request, budget)
            except (ConflictError, NotFoundError) as error:
                if lost is None:
                    raise
                raise CommitOutcomeUnknownError(
                    f"write session {session_id} may have been committed: the answer was lost ({lost}), and "
                    f"now the service says: {error}. Look at the table before you write again.",
                    code="CommitOutcomeUnknown",
                ) from error
            except ClientError as error:
                budget.wait(error)
                lost = error

    def abort_write_session(self, session_id: str, route_token: str | None = None) -> None:
        """Discard a write session and all its rows. May be repeated."""
        self._require_table("abort_write_session")
        require(session_id=session_id)
        request = builders.abort_write_session(self._target, session_id, self._token(route_token))
        parsers.acknowledged(self._call(request))

    def create_write_stream(
        self,
        session_id: str | None = None,
        stream_id: str | int | None = None,
        stream_version: int = 0,
        route_token: str | None = None,
    ) -> CreateWriteStreamResponse:
        """Open a stream in a write session. A higher version of an id discards the rows of the lower."""
        self._require_table("create_write_stream")
        require(session_id=session_id, stream_id=stream_id, stream_version=stream_version)
        stream = CreateWriteStreamRequest(session_id, stream_id, stream_version)
        request = builders.create_write_stream(self._target, stream, self._token(route_token))
        return parsers.write_stream(self._call(request))

    def get_write_stream(
        self,
        session_id: str,
        stream_id: str,
        stream_version: int,
        route_token: str | None = None,
        exactly_once_mode: bool = False,
    ) -> GetWriteStreamResponse:
        """Return the state of a write stream.

        With ``exactly_once_mode`` the stream counts rows from now on, and the response holds the
        access token and row offset for the next write.
        """
        self._require_table("get_write_stream")
        require(session_id=session_id, stream_id=stream_id, stream_version=stream_version)
        stream = CreateWriteStreamRequest(session_id, stream_id, stream_version, exactly_once_mode)
        request = builders.get_write_stream(self._target, stream, self._token(route_token))
        return parsers.write_stream_state(self._call(request))

    def write_rows_stream(
        self,
        session_id: str,
        stream_id: str | int,
        stream_version: int = 0,
        record_count: int = 0,
        compression: Compression | None = None,
        route_token: str | None = None,
        row_offset: int = -1,
        access_token: str | None = None,
    ) -> StreamWriter:
        """Return a writer of rows to an open stream; the request begins with its first write.

        ``record_count`` announces the number of rows, 0 when unknown. ``row_offset`` and
        ``access_token`` belong to exactly-once mode, -1 and ``None`` otherwise. ``compression`` is
        checked only: it is ``ArrowWriter`` that compresses.

        In exactly-once mode rows are sent again when the connection breaks: the offset keeps them from being
        stored twice. Otherwise only the caller can know what to do: a higher ``stream_version`` begins anew.
        """
        self._require_table("write_rows_stream")
        require(session_id=session_id, stream_id=stream_id, stream_version=stream_version)
        rows = WriteStreamRequest(
            session_id, stream_id, stream_version, record_count, compression, row_offset, access_token
        )
        request = builders.write_rows(self._target, rows, self._token(route_token))
        deadline = self._deadline()

        def begin() -> Upload:
            return self._upload(request, deadline)

        if row_offset < 0 or access_token is None:
            return StreamWriter(begin, self._follow_route)
        spool = UploadSpool(self._budget(deadline), self.memory.reservation())
        return StreamWriter.of_rows_stored_once(begin, spool, self._follow_route)

    def close_write_stream(
        self,
        session_id: str | None = None,
        stream_id: str | int | None = None,
        stream_version: int = 0,
        route_token: str | None = None,
    ) -> CloseWriteStreamResponse:
        """Close a stream after its last row; only closed streams can be committed."""
        self._require_table("close_write_stream")
        require(session_id=session_id, stream_id=stream_id, stream_version=stream_version)
        stream = CloseWriteStreamRequest(session_id, stream_id, stream_version)
        request = builders.close_write_stream(self._target, stream, self._token(route_token))
        return parsers.closed_stream(self._call(request))


def _stream_lists(ids: list[str] | None, versions: list[int] | None) -> tuple[list[str], list[int]] | None:
    """Return the streams to commit; ``None`` stands for all, empty lists for none."""
    if len(ids or ()) != len(versions or ()):
        raise ValueError("stream_ids and stream_versions must be given together, with the same length")
    return None if ids is None and versions is None else (list(ids or ()), list(versions or ()))
