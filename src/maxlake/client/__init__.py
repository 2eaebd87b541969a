"""The Python client of Storage API V2, as documented for ``odps.apis.storage_api_v2``."""

from maxlake.client.arrow import ArrowReader, ArrowWriter
from maxlake.client.blob_items import BlobWriteItem
from maxlake.client.blob_reader import BlobDataIterator, BlobStreamReader
from maxlake.client.blob_writer import BlobStreamWriter
from maxlake.client.builders import URL_PREFIX
from maxlake.client.enums import ChecksumType, Compression, SessionStatus, Status
from maxlake.client.options import ArrowOptions, DataFormat, IncrementalReadOptions, SplitOptions
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
from maxlake.client.responses import (
    CloseWriteStreamResponse,
    CreateReadSessionResponse,
    CreateWriteSessionResponse,
    CreateWriteStreamResponse,
    GetWriteSessionResponse,
    GetWriteStreamResponse,
    SessionStats,
    WriteBlobResponse,
    WriteStreamResponse,
)
from maxlake.client.schema import Column, DataSchema
from maxlake.client.storage_api import StorageApiClient
from maxlake.client.storage_api_arrow import StorageApiArrowClient
from maxlake.client.streams import StreamReader, StreamWriter
from maxlake.protocol.headers import ROUTE_TOKEN_HEADER, WRITE_ACCESS_TOKEN_HEADER

URL_PREFIX_V2 = URL_PREFIX
STORAGE_V2_VERSION = "2"

__all__ = [
    "ROUTE_TOKEN_HEADER",
    "STORAGE_V2_VERSION",
    "URL_PREFIX_V2",
    "WRITE_ACCESS_TOKEN_HEADER",
    "ArrowOptions",
    "ArrowReader",
    "ArrowWriter",
    "BlobDataIterator",
    "BlobStreamReader",
    "BlobStreamWriter",
    "BlobWriteItem",
    "ChecksumType",
    "CloseWriteStreamRequest",
    "CloseWriteStreamResponse",
    "Column",
    "Compression",
    "CreateReadSessionRequest",
    "CreateReadSessionResponse",
    "CreateWriteSessionRequest",
    "CreateWriteSessionResponse",
    "CreateWriteStreamRequest",
    "CreateWriteStreamResponse",
    "DataFormat",
    "DataSchema",
    "GetWriteSessionResponse",
    "GetWriteStreamResponse",
    "IncrementalReadOptions",
    "PreviewTableRequest",
    "ReadBlobRequest",
    "ReadStreamRequest",
    "SessionStats",
    "SessionStatus",
    "SplitOptions",
    "Status",
    "StorageApiArrowClient",
    "StorageApiClient",
    "StreamReader",
    "StreamWriter",
    "WriteBlobRequest",
    "WriteBlobResponse",
    "WriteStreamRequest",
    "WriteStreamResponse",
]
