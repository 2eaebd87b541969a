"""Who is recognised by what, and what each is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from maxlake.protocol.enums import Codec, StreamState, WriteMode
from maxlake.protocol.errors import BadRequestError
from maxlake.protocol.messages.read import IncrementalReadOptions
from maxlake.protocol.messages.write import GetWriteSessionResponse, StreamInfo
from maxlake.server import dialects
from maxlake.server.dialects import (
    JAVA,
    MAX_STORAGE,
    MAXLAKE,
    OTHER,
    STORAGE_API_V2,
    STORAGE_API_V2_0_13_1,
    Compression,
    Layer,
)

VECTORS = Path(__file__).parent.parent / "vectors"
PLAIN, WITH_SCHEMA = "projects.p.tables.t", "projects.p.schemas.s.tables.t"
AGENT = "pyodps/{} CPython/3.11.7 Linux/5.10.0"


def _headers(*pairs: tuple[str, str]) -> Headers:
    return Headers(raw=[(name.lower().encode(), value.encode()) for name, value in pairs])


@pytest.mark.parametrize(
    ("agent", "target", "expected"),
    [
        (AGENT.format("0.13.0"), WITH_SCHEMA, STORAGE_API_V2),
        (AGENT.format("0.13.0"), PLAIN, STORAGE_API_V2),
        (AGENT.format("0.13.1"), PLAIN, MAX_STORAGE),
        (AGENT.format("0.13.1"), WITH_SCHEMA, STORAGE_API_V2_0_13_1),
        (AGENT.format("0.13.2"), PLAIN, MAX_STORAGE),
        (AGENT.format("0.13.2.post1"), WITH_SCHEMA, MAX_STORAGE),
        (AGENT.format("0.14.0"), WITH_SCHEMA, MAX_STORAGE),
        ("maxlake/0.1.0 pyodps/0.13.2", WITH_SCHEMA, MAXLAKE),
        ("JavaSDK Revision:x Version:0.56", WITH_SCHEMA, JAVA),
        ("", WITH_SCHEMA, OTHER),
    ],
)
def test_recognised_by_user_agent_and_target(agent, target, expected):
    assert dialects.recognise(_headers(("User-Agent", agent)), target) is expected


def test_of_0131_max_storage_writes_the_compression_header_after_content_type():
    agent, content = ("User-Agent", AGENT.format("0.13.1")), ("Content-Type", "application/json")
    asked, plain = ("ACCEPT-ENCODING", "zstd"), ("Accept-Encoding", "identity")
    assert dialects.recognise(_headers(content, asked, agent), WITH_SCHEMA) is MAX_STORAGE
    assert dialects.recognise(_headers(asked, content, agent), WITH_SCHEMA) is STORAGE_API_V2_0_13_1
    assert dialects.recognise(_headers(content, plain, agent), WITH_SCHEMA) is STORAGE_API_V2_0_13_1


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("storage_api_v2-0.13.0-api2", STORAGE_API_V2),
        ("storage_api_v2-0.13.1-api3", STORAGE_API_V2_0_13_1),
        ("maxstorage-0.13.2-api2", MAX_STORAGE),
        ("maxstorage-0.13.2-api3", MAX_STORAGE),
    ],
)
def test_every_captured_read_is_recognised(folder, expected):
    reads = 0
    for path in sorted((VECTORS / folder).glob("*.json")):
        for exchange in json.loads(path.read_text())["exchanges"]:
            request = exchange["request"]
            if "Action=TableRead&" not in request["target"]:
                continue
            reads += 1
            target = request["target"].partition("Target=")[2].partition("&")[0]
            found = dialects.recognise(_headers(*map(tuple, request["headers"])), target)
            assert found is expected, path.name
    assert reads


@pytest.mark.parametrize(
    ("accepted", "codec"),
    [
        ("identity", None),
        ("", None),
        ("gzip, deflate", None),
        ("zstd", Codec.ZSTD),
        ("x-lz4-frame,zstd", Codec.LZ4_FRAME),
        ("gzip, ZSTD;q=0.5", Codec.ZSTD),
    ],
)
def test_the_first_known_codec_counts(accepted, codec):
    assert dialects.accepted_codec(_headers(("Accept-Encoding", accepted))) is codec


def test_reads_are_compressed_where_the_client_looks_for_it():
    headers = _headers(("Accept-Encoding", "zstd"))
    assert dialects.read_compression(MAX_STORAGE, headers) == Compression(Codec.ZSTD, Layer.WHOLE_BODY)
    for dialect in (STORAGE_API_V2, OTHER):
        assert dialects.read_compression(dialect, headers) == Compression(Codec.ZSTD, Layer.IPC_BUFFERS)
    assert dialects.preview_compression(MAX_STORAGE, headers) == Compression(Codec.ZSTD, Layer.IPC_BUFFERS)
    assert dialects.read_compression(MAX_STORAGE, _headers()) is None


def test_streams_are_a_list_for_pyodps_and_a_map_for_others():
    stream = StreamInfo(stream_id="0", stream_version=2, status=StreamState.OPEN)
    answer, empty = GetWriteSessionResponse(streams=(stream,)), GetWriteSessionResponse(streams=())
    entry = {"StreamId": "0", "StreamVersion": 2, "Status": "OPEN"}
    assert dialects.write_session(answer, STORAGE_API_V2)["Streams"] == [entry]
    assert dialects.write_session(empty, MAX_STORAGE)["Streams"] is None
    assert dialects.write_session(answer, OTHER)["Streams"] == {"0": 2}
    assert dialects.write_session(empty, OTHER)["Streams"] == {}


def test_write_mode_in_any_case():
    assert dialects.write_mode(None) is None
    assert dialects.write_mode("STREAMINGREALTIME") is WriteMode.STREAMING_REALTIME
    with pytest.raises(BadRequestError):
        dialects.write_mode("eventually")


def test_a_preview_limit_of_0_is_the_default_for_cpp_only():
    assert dialects.preview_limit(0, dialects.OTHER) is None
    assert dialects.preview_limit(5, dialects.OTHER) == 5
    assert dialects.preview_limit(0, dialects.STORAGE_API_V2) == 0


@pytest.mark.parametrize(
    "options",
    [
        IncrementalReadOptions(start_version=0, end_version=7),
        IncrementalReadOptions(start_version=-1, end_version=7, start_time_stamp="-1", end_time_stamp="-1"),
        IncrementalReadOptions(from_=-1, end_version=7),
    ],
)
def test_bounds_java_and_cpp_do_not_give_are_left_out(options: IncrementalReadOptions):
    assert dialects.incremental_options(options) == IncrementalReadOptions(end_version=7)
