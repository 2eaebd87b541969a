"""From documented calls to HTTP requests: pure functions, one per action (wire.md §1.1, API version 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from maxlake.client.enums import Compression
from maxlake.client.exchange import HttpRequest
from maxlake.protocol.headers import ROUTE_TOKEN_HEADER, WRITE_ACCESS_TOKEN_HEADER

if TYPE_CHECKING:
    from maxlake.client.requests import (
        CloseWriteStreamRequest,
        CreateReadSessionRequest,
        CreateWriteSessionRequest,
        CreateWriteStreamRequest,
        PreviewTableRequest,
        ReadBlobRequest,
        ReadStreamRequest,
        WriteBlobRequest,
        WriteStreamRequest,
    )

URL_PREFIX = "/api/storage/v2"

_JSON = "application/json; charset=utf-8"
_OCTETS = "application/octet-stream"
#: The one call that is looked after by its caller: a second time it may be refused.
_COMMIT = "CommitWriteSession"


@dataclass(frozen=True)
class Target:
    """What an action is about: ``kind`` begins the action's name, ``path`` names the object."""

    kind: str
    path: str

    @classmethod
    def table(cls, project: str, schema: str | None, table: str) -> Target:
        """Return the target of a table; without a schema, that is ``default``."""
        return cls("Table", f"projects.{project}.schemas.{schema or 'default'}.tables.{table}")

    @classmethod
    def instance(cls, project: str, instance: str) -> Target:
        """Return the target of an instance's result."""
        return cls("Instance", f"projects.{project}.instances.{instance}")

    @property
    def is_instance(self) -> bool:
        """Whether this is an instance's result, which can only be read."""
        return self.kind == "Instance"


_BLOBS = Target("Blob", "generic.blob")


def create_read_session(target: Target, request: CreateReadSessionRequest) -> HttpRequest:
    """Build ``<Kind>CreateReadSession``; all fields are sent, but for absent incremental options."""
    return _json(target, "CreateReadSession", {}, _present(msgspec.to_builtins(request)))


def get_read_session(target: Target, session_id: str, *, refresh: bool) -> HttpRequest:
    """Build ``<Kind>GetReadSession``."""
    params = {"SessionId": session_id}
    if refresh:
        params["session_refresh"] = "true"
    return _json(target, "GetReadSession", params, {})


def read_rows(target: Target, request: ReadStreamRequest, route_token: str | None) -> HttpRequest:
    """Build ``<Kind>Read``: addressing in the query, the rest in the body (wire.md §5)."""
    addressing = {"Index": request.split_index, "Offset": request.row_offset, "Count": request.row_count}
    params = {"SessionId": str(request.session_id), **_texts(_present(addressing))}
    body = {
        "MaxBatchRows": request.max_batch_rows,
        "SkipRowNum": request.skip_row_num,
        "MaxBatchRawSize": request.max_batch_raw_size,
        "DataFormat": request.data_format,
        "DataColumns": request.data_columns,
        "DataColumnsUnordered": False,
    }
    compression = request.compression or Compression.UNCOMPRESSED
    headers = {"Accept-Encoding": compression.accept_encoding, **_route(route_token)}
    return _json(target, "Read", params, body, headers)


def preview_table(target: Target, request: PreviewTableRequest) -> HttpRequest:
    """Build ``TablePreview``; limit and partition stand in the query as well (wire.md §7)."""
    chosen = _present({"Limit": request.limit, "Partition": request.partition})
    body = {**chosen, **({"Columns": request.columns} if request.columns else {})}
    return _json(target, "Preview", _texts(chosen), body)


def create_write_session(target: Target, request: CreateWriteSessionRequest) -> HttpRequest:
    """Build ``TableCreateWriteSession``."""
    return _json(target, "CreateWriteSession", {}, msgspec.to_builtins(request))


def get_write_session(target: Target, session_id: str) -> HttpRequest:
    """Build ``TableGetWriteSession``."""
    return _json(target, "GetWriteSession", {"SessionId": session_id}, {})


def commit_write_session(
    target: Target,
    session_id: str,
    streams: tuple[list[str], list[int]] | None,
    route_token: str | None,
) -> HttpRequest:
    """Build ``TableCommitWriteSession``; ``streams`` are ids and versions, ``None`` all closed ones."""
    body = {} if streams is None else {"StreamIds": streams[0], "StreamVersions": streams[1]}
    return _json(target, _COMMIT, {"SessionId": session_id}, body, _route(route_token))


def abort_write_session(target: Target, session_id: str, route_token: str | None) -> HttpRequest:
    """Build ``TableAbortWriteSession``."""
    return _json(target, "AbortWriteSession", {"SessionId": session_id}, {}, _route(route_token))


def create_write_stream(
    target: Target, request: CreateWriteStreamRequest, route_token: str | None
) -> HttpRequest:
    """Build ``TableCreateWriteStream``; the stream id keeps the type the caller gave it."""
    body: dict[str, Any] = {"StreamId": request.stream_id, "StreamVersion": request.stream_version}
    if request.exactly_once_mode:
        body["ExactlyOnceMode"] = True
    return _json(
        target, "CreateWriteStream", {"SessionId": str(request.session_id)}, body, _route(route_token)
    )


def get_write_stream(
    target: Target, request: CreateWriteStreamRequest, route_token: str | None
) -> HttpRequest:
    """Build ``TableGetWriteStream``, the one GET: everything stands in the query (wire.md §9.2)."""
    params = _stream(request)
    if request.exactly_once_mode:
        params["ExactlyOnceMode"] = "true"
    headers = {"Content-Type": _JSON, **_route(route_token)}
    query = _query(target, "GetWriteStream", params)
    return HttpRequest("GET", URL_PREFIX, query, headers, repeatable=True)


def write_rows(target: Target, request: WriteStreamRequest, route_token: str | None) -> HttpRequest:
    """Build the head of ``TableWrite``; the body is streamed, without Content-Encoding (wire.md §9.3)."""
    params = {**_stream(request), "Count": str(request.record_count)}
    headers = {"Content-Type": _OCTETS, **_route(route_token)}
    if request.row_offset >= 0:
        params["RowOffset"] = str(request.row_offset)
    if request.access_token is not None:
        headers[WRITE_ACCESS_TOKEN_HEADER] = request.access_token
    return HttpRequest("POST", URL_PREFIX, _query(target, "Write", params), headers)


def close_write_stream(
    target: Target, request: CloseWriteStreamRequest, route_token: str | None
) -> HttpRequest:
    """Build ``TableCloseWriteStream``."""
    body = {
        "SessionId": request.session_id,
        "StreamId": request.stream_id,
        "StreamVersion": request.stream_version,
    }
    return _json(
        target, "CloseWriteStream", {"SessionId": str(request.session_id)}, body, _route(route_token)
    )


def write_blob(target: Target, request: WriteBlobRequest, compression: Compression) -> HttpRequest:
    """Build the head of ``TableWriteBlob`` for one blob, whose bytes are streamed (wire.md §11.1)."""
    params = {
        **_stream(request),
        "PartitionValues": ",".join(request.partition_values or ()),
        "ColumnIndex": str(request.column_index),
    }
    headers = {"Content-Type": _OCTETS}
    if compression.content_encoding:
        headers["Content-Encoding"] = compression.content_encoding
    return HttpRequest("POST", URL_PREFIX, _query(target, "WriteBlob", params), headers)


def write_blob_batch(target: Target, request: WriteBlobRequest) -> HttpRequest:
    """Build the head of ``TableWriteBlob`` for many blobs, whose frames are streamed (wire.md §11.2)."""
    params = {**_stream(request), "Mode": "Batch"}
    return HttpRequest("POST", URL_PREFIX, _query(target, "WriteBlob", params), {"Content-Type": _OCTETS})


def read_blobs(request: ReadBlobRequest, compression: Compression) -> HttpRequest:
    """Build ``BlobRead``: the references alone say where blobs are (wire.md §11.4)."""
    headers = {"Accept-Encoding": compression.accept_encoding}
    return _json(_BLOBS, "Read", {}, {"BlobReferences": request.blob_references}, headers)


def _json(
    target: Target, verb: str, params: dict[str, str], body: Any, headers: dict[str, str] | None = None
) -> HttpRequest:
    return HttpRequest(
        "POST",
        URL_PREFIX,
        _query(target, verb, params),
        {"Content-Type": _JSON, **(headers or {})},
        msgspec.json.encode(body),
        repeatable=verb != _COMMIT,
    )


def _query(target: Target, verb: str, params: dict[str, str]) -> dict[str, str]:
    return {"Action": target.kind + verb, "Target": target.path, **params}


def _stream(request: CreateWriteStreamRequest | WriteStreamRequest | WriteBlobRequest) -> dict[str, str]:
    return {
        "SessionId": str(request.session_id),
        "StreamId": str(request.stream_id),
        "StreamVersion": str(request.stream_version),
    }


def _route(route_token: str | None) -> dict[str, str]:
    return {} if route_token is None else {ROUTE_TOKEN_HEADER: route_token}


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _texts(values: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}
