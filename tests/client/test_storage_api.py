"""Behaviour of the documented client beyond single requests: arguments, tokens, endpoints."""

import inspect
from typing import Any

import pytest

from maxlake.client import Compression, StorageApiArrowClient, StorageApiClient
from odps import options
from tests.client.replay import ACCESS_ID, SECRET, ReplayServer, Reply, entry, instance, table

ROUTE = "x-odps-max-storage-route-token"
NOWHERE = "http://127.0.0.1:1"
EMPTY_ARROW = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def routed(token: str, body: Any = None) -> Reply:
    content = {"SessionId": "s", "CommitMessage": "m"} if body is None else body
    return Reply(content, headers={"x-odps-request-id": "r", ROUTE: token})


@pytest.mark.parametrize("kind", [StorageApiClient, StorageApiArrowClient])
@pytest.mark.parametrize(
    ("odps", "subject"),
    [(None, table()), ("odps", table()), (entry(NOWHERE), None), (entry(NOWHERE), "t"), (table(), table())],
)
def test_what_a_client_is_made_of_is_checked(kind: Any, odps: Any, subject: Any) -> None:
    with pytest.raises(ValueError, match=r"must be|needed"):
        kind(odps, subject)


BAD_CALLS = [
    *[
        (call, (bad, *rest))
        for bad in (None, "")
        for call, rest in [
            ("get_read_session", ()),
            ("read_rows_stream", ()),
            ("read_rows_arrow", ()),
            ("get_write_session", ()),
            ("commit_write_session", ()),
            ("abort_write_session", ()),
            ("create_write_stream", (0,)),
            ("get_write_stream", ("0", 0)),
            ("write_rows_stream", (0,)),
            ("write_rows_arrow", (0,)),
            ("close_write_stream", (0,)),
        ]
    ],
    *[
        (call, ("s", bad))
        for bad in (None, "")
        for call in ("create_write_stream", "close_write_stream", "write_rows_stream", "write_rows_arrow")
    ],
    ("get_write_stream", ("s", None, 0)),
    ("get_write_stream", ("s", "", 0)),
    ("get_write_stream", ("s", "0", None)),
    ("commit_write_session", ("s", ["0"])),
    ("commit_write_session", ("s", None, [0])),
    ("commit_write_session", ("s", ["0"], [0, 1])),
]


@pytest.mark.parametrize(("call", "arguments"), BAD_CALLS)
def test_bad_arguments_are_refused_before_any_request(call: str, arguments: tuple[Any, ...]) -> None:
    with ReplayServer() as server:
        with pytest.raises(ValueError, match="must"):
            getattr(server.client(), call)(*arguments)
        assert server.connections == 0


def test_an_unknown_compression_is_refused() -> None:
    with ReplayServer() as server:
        for call, arguments in [("read_rows_stream", ("s",)), ("write_rows_stream", ("s", 0))]:
            with pytest.raises(ValueError, match=r"Compression\.ZSTD"):
                getattr(server.client(), call)(*arguments, compression="zstd")
        assert server.connections == 0


def test_zero_is_a_valid_id_version_offset_and_index() -> None:
    with ReplayServer(routed("rt")) as server:
        client = server.client()
        client.create_write_stream("s", 0, 0)
        assert server.last.json == {"StreamId": 0, "StreamVersion": 0}
        client.get_write_stream("s", 0, 0)
        assert (server.last.params["StreamId"], server.last.params["StreamVersion"]) == ("0", "0")
        client.close_write_stream("s", 0, 0)
        assert server.last.json == {"SessionId": "s", "StreamId": 0, "StreamVersion": 0}
        client.write_rows_stream("s", 0, 0, row_offset=0, access_token="t").finish()
        assert (server.last.params["StreamId"], server.last.params["RowOffset"]) == ("0", "0")
    with ReplayServer(Reply(EMPTY_ARROW)) as server:
        server.client().read_rows_stream("s", split_index=0, row_offset=0).read()
        assert (server.last.params["Index"], server.last.params["Offset"]) == ("0", "0")
        assert "Count" not in server.last.params


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("preview_table", ()),
        ("preview_table_arrow", ()),
        ("create_write_session", ()),
        ("get_write_session", ("s",)),
        ("commit_write_session", ("s",)),
        ("abort_write_session", ("s",)),
        ("create_write_stream", ("s", 0)),
        ("get_write_stream", ("s", "0", 0)),
        ("write_rows_stream", ("s", 0)),
        ("write_rows_arrow", ("s", 0)),
        ("close_write_stream", ("s", 0)),
    ],
)
def test_table_calls_refuse_an_instance(call: str, arguments: tuple[Any, ...]) -> None:
    with ReplayServer() as server:
        client = server.client(subject=instance())
        assert client.table is None
        with pytest.raises(ValueError, match="instance"):
            getattr(client, call)(*arguments)
        assert server.connections == 0


@pytest.mark.parametrize(("given", "sent"), [(["a", "b"], "a,b"), ("a,b", "a,b"), ([], None), (None, None)])
def test_tags(given: Any, sent: str | None) -> None:
    with ReplayServer(routed("rt")) as server:
        server.client(tags=given).create_read_session()
        assert server.last.headers.get("odps-tunnel-tags") == sent


@pytest.mark.parametrize("configured", [["x", "y"], "x,y"])
def test_tags_by_default_are_the_options(configured: Any) -> None:
    options.tunnel.tags = configured
    try:
        with ReplayServer(routed("rt")) as server:
            server.client().create_read_session()
            assert server.last.headers["odps-tunnel-tags"] == "x,y"
            server.client(tags="mine").create_read_session()
            assert server.last.headers["odps-tunnel-tags"] == "mine"
    finally:
        options.tunnel.tags = None


def every_call(client: Any) -> None:
    client.create_read_session()
    client.get_read_session("s")
    client.create_write_session()
    client.get_write_session("s")
    client.create_write_stream("s", 0)
    client.get_write_stream("s", "0", 0)
    client.write_rows_stream("s", 0).finish()
    client.close_write_stream("s", 0)
    client.commit_write_session("s")
    client.abort_write_session("s")


def test_the_quota_goes_with_every_call() -> None:
    with ReplayServer(routed("rt")) as server:
        every_call(server.client(quota_name="q"))
        assert len(server.requests) == 10
        assert {each.params.get("quotaName") for each in server.requests} == {"q"}
    with ReplayServer(Reply(EMPTY_ARROW)) as server:
        client = server.client(quota_name="q")
        client.read_rows_stream("s").read()
        client.preview_table().read()
        assert {each.params.get("quotaName") for each in server.requests} == {"q"}


def test_which_calls_send_the_stored_route_token() -> None:
    with ReplayServer(routed("rt")) as server:
        client = server.client()
        client._route_token = "rt"
        every_call(client)
        routed_actions = {each.action for each in server.requests if ROUTE in each.headers}
        assert routed_actions == {
            "TableCreateWriteStream",
            "TableGetWriteStream",
            "TableWrite",
            "TableCloseWriteStream",
            "TableCommitWriteSession",
            "TableAbortWriteSession",
        }
    with ReplayServer(Reply(EMPTY_ARROW)) as server:
        client = server.client()
        client._route_token = "rt"
        client.read_rows_stream("s").read()
        assert server.last.headers[ROUTE] == "rt"
        client.preview_table().read()
        assert ROUTE not in server.last.headers


def test_the_stored_route_token_follows_every_answer() -> None:
    replies = [routed(f"rt-{number}") for number in range(10)]
    with ReplayServer(*replies) as server:
        client = server.client()
        assert client.route_token is None
        seen: list[str | None] = []
        for call, arguments in [
            ("create_read_session", ()),
            ("get_read_session", ("s",)),
            ("create_write_session", ()),
            ("get_write_session", ("s",)),
            ("create_write_stream", ("s", 0)),
            ("get_write_stream", ("s", "0", 0)),
        ]:
            getattr(client, call)(*arguments)
            seen.append(client.route_token)
        writer = client.write_rows_stream("s", 0)
        writer.finish()
        assert writer.get_route_token() == "rt-6"
        assert [*seen, client.route_token] == [f"rt-{number}" for number in range(7)]
    with ReplayServer(routed("rt-read", EMPTY_ARROW)) as server:
        client = server.client()
        client.read_rows_stream("s").read()
        assert client.route_token == "rt-read"


def test_an_answer_without_route_token_keeps_the_stored_one() -> None:
    with ReplayServer(routed("rt"), Reply({"SessionId": "s"})) as server:
        client = server.client()
        client.create_read_session()
        client.get_read_session("s")
        assert client.route_token == "rt"


def test_an_explicit_route_token_wins_for_that_call_only() -> None:
    with ReplayServer(Reply({"SessionId": "s"})) as server:
        client = server.client()
        client._route_token = "stored"
        client.create_write_stream("s", 0, route_token="mine")
        assert server.last.headers[ROUTE] == "mine"
        client.close_write_stream("s", 0)
        assert server.last.headers[ROUTE] == "stored"
        assert client.route_token == "stored"


def test_the_route_token_cannot_be_assigned() -> None:
    with pytest.raises(AttributeError):
        StorageApiClient(entry(NOWHERE), table()).route_token = "x"  # type: ignore[misc]


def test_the_tunnel_endpoint_is_discovered_once() -> None:
    with ReplayServer() as server:
        discovered = server.endpoint.removeprefix("http://")
        server._replies = [Reply(discovered.encode()), Reply({"SessionId": "s"})]
        client = StorageApiClient(entry(server.endpoint), table(server.endpoint))
        client.create_read_session()
        client.create_read_session()
        assert [each.path for each in server.requests] == [
            "/api/projects/p/tunnel",
            "/api/storage/v2",
            "/api/storage/v2",
        ]
        assert client.tunnel_rest.endpoint == server.endpoint


def test_requests_are_signed_so_that_the_service_verifies_them() -> None:
    from datetime import UTC, datetime

    from maxlake.protocol.signing import SignedRequest, verify

    with ReplayServer(Reply({"SessionId": "s"})) as server:
        client = server.client(quota_name="a quota/with=odd&signs")
        client.get_read_session("an id + more%20=&/ü")
        sent = server.last
        request = SignedRequest(sent.method, sent.target, tuple(sent.headers.items()))
        assert verify(request, {ACCESS_ID: SECRET}.get, datetime.now(UTC)) == ACCESS_ID
        assert sent.params["SessionId"] == "an id + more%20=&/ü"


def test_compression_values() -> None:
    assert [(each.name, each.value) for each in Compression] == [
        ("UNCOMPRESSED", 0),
        ("ZSTD", 1),
        ("LZ4_FRAME", 2),
    ]


def test_both_import_names_are_the_same_objects() -> None:
    import maxlake.client
    import maxlake.storage_api_v2

    for name in maxlake.client.__all__:
        assert getattr(maxlake.storage_api_v2, name) is getattr(maxlake.client, name)
    assert inspect.isclass(maxlake.storage_api_v2.StorageApiClient)
