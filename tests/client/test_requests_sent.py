"""What the client sends is what PyODPS 0.13.0 sent: the captured exchanges, call by call."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from maxlake.client import (
    ArrowOptions,
    Compression,
    DataFormat,
    IncrementalReadOptions,
    SplitOptions,
)
from tests.client.replay import ReplayServer, captured, instance

RT, ROUTED = "x-odps-max-storage-route-token", "rt"
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

# label of the captured file → the same call with our client
TABLE_CALLS: dict[str, Callable[[Any], Any]] = {
    "create-read-session": lambda c: c.create_read_session(),
    "create-read-session-full": lambda c: c.create_read_session(**FULL),
    "get-read-session-refresh": lambda c: c.get_read_session("rs-1", refresh=True),
    "read-idx-ipc-none": lambda c: c.read_rows_stream("rs-1", 0).read(),
    "read-idx-ipc-compression-zstd": lambda c: c.read_rows_stream(
        "rs-1", 0, compression=Compression.ZSTD
    ).read(),
    "read-idx-ipc-compression-lz4-frame": lambda c: c.read_rows_stream(
        "rs-1", 0, compression=Compression.LZ4_FRAME
    ).read(),
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
}
INSTANCE_CALLS: dict[str, Callable[[Any], Any]] = {
    "instance-create": lambda c: c.create_read_session(),
    "instance-get": lambda c: c.get_read_session("dl-1"),
    "instance-read": lambda c: c.read_rows_stream("dl-1", row_offset=0, row_count=2).read(),
}
WRITES: dict[str, dict[str, Any]] = {
    "write-none": {},
    "write-compression-zstd": {"compression": Compression.ZSTD},
    "write-compression-lz4-frame": {"compression": Compression.LZ4_FRAME},
    "write-exactly-once": {"row_offset": 3, "access_token": "tok-2"},
}


def same_request(sent: Any, expected: dict[str, Any], target: str | None = None) -> None:
    assert sent.method == expected["method"]
    url = urlsplit(expected["target"])
    params = dict(parse_qsl(url.query, keep_blank_values=True))
    if target is not None:
        params["Target"] = target
    assert (sent.path, sent.params) == (url.path, params)
    headers = {name.lower(): value for name, value in expected["headers"]}
    for name in ("accept-encoding", "content-type", "odps-tunnel-tags", "transfer-encoding"):
        assert sent.headers.get(name) == headers.get(name), name
    for name in (RT, "x-odps-max-storage-write-access-token"):
        assert (name in sent.headers) == (name in headers), name
    if headers.get("content-type", "").startswith("application/json") and expected["bytes"]:
        assert sent.json == json.loads(expected["bytes"])


@pytest.mark.parametrize("label", TABLE_CALLS)
def test_table_calls(label: str) -> None:
    request, reply = captured(label)
    with ReplayServer(reply) as server:
        client = server.client()
        client._route_token = ROUTED
        TABLE_CALLS[label](client)
        same_request(server.last, request)
        assert server.last.headers.get(RT, ROUTED) == ROUTED


@pytest.mark.parametrize("label", INSTANCE_CALLS)
def test_instance_calls(label: str) -> None:
    request, reply = captured(label)
    with ReplayServer(reply) as server:
        client = server.client(subject=instance())
        client._route_token = ROUTED
        INSTANCE_CALLS[label](client)
        same_request(server.last, request, target="projects.p.instances.i1")


@pytest.mark.parametrize("label", WRITES)
def test_writes(label: str) -> None:
    request, reply = captured(label)
    with ReplayServer(reply) as server:
        client = server.client()
        client._route_token = ROUTED
        writer = client.write_rows_stream("ws-1", 0, record_count=3, **WRITES[label])
        assert writer.write(request["bytes"])
        _, success = writer.finish()
        assert success
        same_request(server.last, request)
        assert server.last.body == request["bytes"]
        assert "content-encoding" not in server.last.headers


def test_quota_and_tags_on_the_discovered_endpoint() -> None:
    request, reply = captured("quota-tags")
    with ReplayServer(reply) as server:
        client = server.client(quota_name="q1", tags=["t1", "t2"])
        client.create_read_session()
        same_request(server.last, request)


def test_an_endpoint_that_ends_in_api() -> None:
    request, reply = captured("rest-endpoint-with-api")
    with ReplayServer(reply) as server:
        client = server.client(rest_endpoint=f"{server.endpoint}/api")
        client.create_read_session()
        same_request(server.last, request)
        assert server.last.path == "/api/api/storage/v2"


def test_options_given_as_none_are_the_defaults() -> None:
    nothing = {"split_mode": None, "split_unit": None, "split_number": None, "cross_partition": None}
    assert SplitOptions(**nothing) == SplitOptions()
    assert ArrowOptions(timestamp_unit=None, date_time_unit=None) == ArrowOptions()
    assert DataFormat(type=None, version=None) == DataFormat()
