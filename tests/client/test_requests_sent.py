"""What the client sends is what PyODPS 0.13.0 sent: the captured exchanges, call by call."""

import json
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatch
from typing import Any

import lz4.frame
import pytest
import zstandard

from maxlake.client import (
    ArrowOptions,
    BlobWriteItem,
    ChecksumType,
    Compression,
    DataFormat,
    IncrementalReadOptions,
    SplitOptions,
)
from maxlake.protocol.headers import ROUTE_TOKEN_HEADER, WRITE_ACCESS_TOKEN_HEADER
from maxlake.testing.replay import content_of, head_of
from odps import errors
from tests.client.replay import ReplayServer, Reply, instance, labels, reply_of, table, vector
from tests.client.test_blobs import frames_of

Captured = dict[str, Any]
FULL = {
    "required_data_columns": ["id"],
    "required_partition_columns": ["pt"],
    "required_partitions": ["pt=20230101"],
    "required_bucket_ids": [1],
    "split_options": SplitOptions(split_mode=SplitOptions.SplitMode.ROW_OFFSET, split_number=2),
    "arrow_options": ArrowOptions(timestamp_unit=ArrowOptions.TimestampUnit.MICRO),
    "filter_predicate": "id > 1",
    "filter_predicate_fallback": True,
    "split_max_file_num": 3,
    "incremental_read": True,
    "incremental_read_options": IncrementalReadOptions(start_version=100),
}
READ = {"row_offset": 1, "row_count": 2, "max_batch_rows": 10, "skip_row_num": 1, "max_batch_raw_size": 100}

Call = Callable[[Any], Any]


def reading(**how: Any) -> Call:
    return lambda client: client.read_rows_stream("rs-1", 0, **how).read()


def writing(**how: Any) -> Callable[[Captured], Call]:
    def call(request: Captured) -> Call:
        def write(client: Any) -> None:
            writer = client.write_rows_stream("ws-1", 0, **how)
            writer.write(request["bytes"])
            writer.finish()

        return write

    return call


def sending_a_blob(data: bytes, compression: Compression | None = None, partition: str = "") -> Call:
    def send(client: Any) -> None:
        values = partition.split(",") if partition else None
        writer = client.write_blob_stream("ws-1", 0, partition_values=values, compression=compression)
        writer.write(data)
        writer.finish()

    return send


def sending_blobs(request: Captured) -> Call:
    """The items that were sent, read back from the request."""
    items = [
        BlobWriteItem(
            data,
            partition_values=header["PartitionValues"],
            column_index=header["ColumnIndex"],
            distribution_key=header.get("DistributionKey"),
            mime_type=header.get("ContentType"),
            checksum_type=ChecksumType(footer["Checksum"]["Type"]),
        )
        for header, data, footer in frames_of(request["bytes"])
    ]
    return lambda client: client.write_blob_batch(items, "ws-1", 0)


def reading_blobs(request: Captured) -> Call:
    references = json.loads(request["bytes"])["BlobReferences"]
    accepted = {name.lower(): value for name, value in request["headers"]}["accept-encoding"]
    compression = CODECS[accepted]
    return lambda client: list(client.read_blobs(references, compression))


CODECS = {"identity": None, "zstd": Compression.ZSTD, "x-lz4-frame": Compression.LZ4_FRAME}
ZSTD, LZ4 = {"compression": Compression.ZSTD}, {"compression": Compression.LZ4_FRAME}

#: By the label of the captured file, "*" for any ending: the same call with our client.
CALLS: dict[str, Call] = {
    "create-read-session": lambda c: c.create_read_session(),
    "create-read-session-full": lambda c: c.create_read_session(**FULL),
    "absent-*": lambda c: c.create_read_session(),
    "unknown-sessionstatus": lambda c: c.create_read_session(),
    "lower-sessionstatus": lambda c: c.create_read_session(),
    "string-expiration": lambda c: c.create_read_session(),
    "error-[1-9]*": lambda c: c.create_read_session(),
    "quota-tags": lambda c: c.create_read_session(),
    "rest-endpoint-with-api": lambda c: c.create_read_session(),
    "get-read-session-refresh": lambda c: c.get_read_session("rs-1", refresh=True),
    "read-idx-ipc-none": reading(),
    "read-idx-ipc-compression-zstd": reading(**ZSTD),
    "read-idx-ipc-compression-lz4-frame": reading(**LZ4),
    "read-body-compressed-compression-zstd": reading(**ZSTD),
    "read-body-compressed-compression-lz4-frame": reading(**LZ4),
    "read-plain-though-zstd-asked": reading(**ZSTD),
    "truncated-arrow-body": reading(),
    "error-on-read-stream": reading(),
    "read-offset-count": lambda c: c.read_rows_stream("rs-1", data_columns=["id"], **READ).read(),
    "preview": lambda c: c.preview_table(3, "pt=20230101", ["id"]).read(),
    "preview-default": lambda c: c.preview_table().read(),
    "create-write-session": lambda c: c.create_write_session("pt=20230101", {"overwrite": True}),
    "get-write-session": lambda c: c.get_write_session("ws-1"),
    "create-write-stream-int-id": lambda c: c.create_write_stream("ws-1", 0),
    "get-write-stream": lambda c: c.get_write_stream("ws-1", "0", 0),
    "get-write-stream-eo": lambda c: c.get_write_stream("ws-1", "0", 0, exactly_once_mode=True),
    "close-write-stream": lambda c: c.close_write_stream("ws-1", 0),
    "commit": lambda c: c.commit_write_session("ws-1"),
    "commit-streams": lambda c: c.commit_write_session("ws-1", ["stream-1"], [1]),
    "abort": lambda c: c.abort_write_session("ws-1"),
    "blob-stream-none": sending_a_blob(b"hello world", partition="pt=20230101,r=us-west"),
    "blob-stream-compression-zstd": sending_a_blob(b"hello world", Compression.ZSTD, "pt=20230101,r=us-west"),
    "blob-stream-compression-lz4-frame": sending_a_blob(
        b"hello world", Compression.LZ4_FRAME, "pt=20230101,r=us-west"
    ),
    "blob-stream-md5-mismatch": sending_a_blob(b"x"),
    "instance-create": lambda c: c.create_read_session(),
    "instance-status-initiating": lambda c: c.create_read_session(),
    "instance-get": lambda c: c.get_read_session("dl-1"),
    "instance-read": lambda c: c.read_rows_stream("dl-1", row_offset=0, row_count=2).read(),
}
#: Those whose arguments are in what was sent.
CALLS_OF: dict[str, Callable[[Captured], Call]] = {
    "write-none": writing(record_count=3),
    "write-compression-zstd": writing(record_count=3, **ZSTD),
    "write-compression-lz4-frame": writing(record_count=3, **LZ4),
    "write-exactly-once": writing(record_count=3, row_offset=3, access_token="tok-2"),
    "write-answered-201": writing(),
    "error-on-write": writing(),
    "blob-batch-*": sending_blobs,
    "blob-read-*": reading_blobs,
    "blob-stream-read-*": reading_blobs,
}
#: What the client is told besides.
OPTIONS: dict[str, dict[str, Any]] = {"quota-tags": {"quota_name": "q1", "tags": ["t1", "t2"]}}

EXCHANGES = [
    pytest.param(label, exchange, id=f"{label}-{number}")
    for label in labels()
    for number, exchange in enumerate(vector(label)["exchanges"])
    if "/api/storage/v2" in exchange["request"]["target"]
]

#: Headers of wire.md §2.1 that say the same in every run; of those that do not, whether they are there.
SAME_HEADERS = (
    "accept-encoding",
    "content-type",
    "content-encoding",
    "odps-tunnel-tags",
    "transfer-encoding",
)
THERE_HEADERS = (
    ROUTE_TOKEN_HEADER,
    WRITE_ACCESS_TOKEN_HEADER,
    "authorization",
    "authorization-sts-token",
    "content-length",
    "date",
    "host",
    "odps-tunnel-retry-trace-id",
    "user-agent",
    "x-odps-bearer-token",
    "x-odps-namespace-id",
)


def call_for(label: str, request: Captured) -> Call:
    for pattern, call in CALLS.items():
        if fnmatch(label, pattern):
            return call
    (of,) = [of for pattern, of in CALLS_OF.items() if fnmatch(label, pattern)]
    # Written first, then read.
    return sending_blobs(request) if "TableWriteBlob" in request["target"] else of(request)


def content(headers: dict[str, str], body: bytes, params: dict[str, str]) -> Any:
    """What a body says: JSON's order, blanks in headers of blobs, and how a codec packs do not count."""
    if params.get("Mode") == "Batch":
        return frames_of(body)
    if headers.get("content-encoding") == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    if headers.get("content-encoding") == "x-lz4-frame":
        return lz4.frame.decompress(body)
    return content_of(body)


@pytest.mark.parametrize(("label", "exchange"), EXCHANGES)
def test_what_is_sent_is_what_0_13_0_sent(label: str, exchange: dict[str, Captured]) -> None:
    request = exchange["request"]
    with ReplayServer(reply_of(exchange["response"])) as server:
        options = dict(OPTIONS.get(label, {}))
        if label == "rest-endpoint-with-api":
            options["rest_endpoint"] = f"{server.endpoint}/api"
        if label.startswith("instance-"):
            options["subject"] = instance(name=request["target"].partition("projects.p.instances.")[2][:24])
        client = server.client(**options)
        client._route_token = "rt"  # whatever session it is from
        with suppress(errors.ODPSError):  # what is made of the answer is shown elsewhere
            call_for(label, request)(client)
        sent = server.last
    theirs = {name.lower(): value for name, value in request["headers"]}
    assert head_of(sent.method, sent.target) == head_of(request["method"], request["target"])
    assert {name: sent.headers.get(name) for name in SAME_HEADERS} == {
        name: theirs.get(name) for name in SAME_HEADERS
    }
    assert [name for name in THERE_HEADERS if name in sent.headers] == [
        name for name in THERE_HEADERS if name in theirs
    ]
    assert content(sent.headers, sent.body, sent.params) == content(theirs, request["bytes"], sent.params)


def test_the_tunnel_is_asked_for_as_0_13_0_did() -> None:
    """PyODPS does it for us; the first exchange of two files."""
    for label, options in (("create-read-session", {}), ("quota-tags", {"quota_name": "q1"})):
        discovery, _ = vector(label)["exchanges"]
        with ReplayServer(Reply(b"127.0.0.1:1")) as server, suppress(errors.ODPSError):
            subject = table(server.endpoint)
            server.client(rest_endpoint=None, subject=subject, **options).create_read_session()
        asked = server.requests[0]
        request = discovery["request"]
        assert head_of(asked.method, asked.target) == head_of(request["method"], request["target"])


def test_options_given_as_none_are_the_defaults() -> None:
    nothing = {"split_mode": None, "split_unit": None, "split_number": None, "cross_partition": None}
    assert SplitOptions(**nothing) == SplitOptions()
    assert ArrowOptions(timestamp_unit=None, date_time_unit=None) == ArrowOptions()
    assert DataFormat(type=None, version=None) == DataFormat()
