"""Blob reads whose connections break: every byte comes once, with the blob's type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from maxlake.client import BlobWriteItem, Compression, StorageApiArrowClient, retry_budget
from maxlake.client.connected import ODPS
from maxlake.client.errors import MalformedAnswerError, TruncatedStreamError
from maxlake.protocol.limits import CLIENT_ATTEMPTS
from maxlake.testing import FaultProxy, fault_proxy, faults, local_server
from tests.budget import Budget
from tests.client.replay import HANG_UP, ReplayServer, Reply
from tests.client.test_blobs import checked, framed
from tests.client.test_survival import BUSY

READS = faults.action("BlobRead")
Blob = tuple[bytes, str | None]


@dataclass(frozen=True)
class Stored:
    """Blobs in a server, and a client that reads them through the proxy."""

    proxy: FaultProxy
    client: StorageApiArrowClient
    references: list[str]
    blobs: list[Blob]


@pytest.fixture(scope="module")
def stored() -> Iterator[Stored]:
    """Blobs of all sizes: none, less than a block, some blocks, one in a file of its own."""
    random = Random(5)
    sizes = [10, 0, 5000, 4096, 1_500_000, 1, 300_000]
    blobs = [(random.randbytes(size), f"type/{size}" if size % 2 == 0 else None) for size in sizes]
    with local_server() as server, fault_proxy(server.endpoint) as proxy:
        server.odps().create_table("blobs", "id bigint, data blob")
        odps = ODPS(server.access_id, server.secret, server.project, proxy.endpoint)
        client = StorageApiArrowClient(odps, odps.get_table("blobs"), rest_endpoint=proxy.endpoint)
        session = client.create_write_session().session_id
        client.create_write_stream(session, 0)
        items = [BlobWriteItem(data, mime_type=mime_type) for data, mime_type in blobs]
        response = client.write_blob_batch(items, session, 0, column_index=1)
        yield Stored(proxy, client, response.blob_references or [], blobs)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting shows nothing."""
    monkeypatch.setattr(retry_budget, "CLIENT_RETRY_PAUSE", 0.001)


def iterated(client: StorageApiArrowClient, references: list[str], **how: Any) -> list[Blob]:
    return list(client.read_blobs(references, **how))


def streamed(client: StorageApiArrowClient, references: list[str], **how: Any) -> list[Blob]:
    """Read in pieces that fit no blocks."""
    found: list[Blob] = []
    reader: Any = client.read_blobs(references, stream=True, **how)
    while reader is not None:
        mime_type, data = reader.mime_type, b""
        while piece := reader.read(70_001):
            data += piece
        found.append((data, mime_type))
        reader = reader.next()
    return found


def in_parallel(client: StorageApiArrowClient, references: list[str], **how: Any) -> list[Blob]:
    return list(client.read_blobs_parallel(references, 3, **how))


@pytest.mark.long
def test_a_read_cut_anywhere(stored: Stored, rng: Random, budget: Callable[[float], Budget]) -> None:
    length = sum(len(data) for data, _ in stored.blobs)
    for _ in budget(5).points(at_least=20):
        ways, cuts = rng.choice([iterated, streamed, in_parallel]), [rng.randrange(length) for _ in range(3)]
        chosen = rng.sample(range(len(stored.blobs)), rng.randrange(2, len(stored.blobs) + 1))
        how = {"compression": rng.choice(list(Compression))}
        for after in cuts:
            with stored.proxy.inject(faults.when(faults.first(2, READS), faults.cut(after))):
                found = ways(stored.client, [stored.references[each] for each in chosen], **how)
                expected = [stored.blobs[each] for each in chosen]
                if ways is in_parallel and len(chosen) <= 3:
                    # A blob that is asked for alone has no type on the wire.
                    found, expected = [each[:1] for each in found], [each[:1] for each in expected]
                assert found == expected, (ways, chosen, how, after)


@pytest.mark.parametrize("read", [iterated, streamed])
@pytest.mark.parametrize("number", [0, 1, 4])
def test_one_blob(stored: Stored, read: Any, number: int) -> None:
    for fault in (faults.unreachable, faults.busy(0), faults.cut(1), faults.cut(1_000_000)):
        with stored.proxy.inject(faults.when(faults.first(2, READS), fault)):
            ((data, _),) = read(stored.client, [stored.references[number]])
            assert data == stored.blobs[number][0]


# -- against a server that answers as told ------------------------------------------------------------

#: Larger than what is received before anything is looked at.
BLOBS: list[Blob] = [(name * 1_500_000, f"{name.decode()}/type") for name in (b"a", b"b", b"c")]
WHOLE = checked(framed(*BLOBS))
#: Places within the second blob and the third.
SECOND, THIRD = 2_500_000, 4_000_000


def asked(server: ReplayServer) -> list[list[str]]:
    return [each.json["BlobReferences"] for each in server.requests]


def test_only_what_is_left_is_asked_for() -> None:
    rest = Reply(checked(framed(*BLOBS[1:])))
    with ReplayServer(Reply(WHOLE, cut=SECOND), rest) as server:
        assert iterated(server.client(retry_seconds=5), ["a", "b", "c"]) == BLOBS
        assert asked(server) == [["a", "b", "c"], ["b", "c"]]


def test_the_last_blob_keeps_its_type() -> None:
    """A blob that is asked for alone has none: it is asked for twice, and read once."""
    again = Reply(checked(framed(BLOBS[2], BLOBS[2])))
    for read in (iterated, streamed):
        with ReplayServer(Reply(WHOLE, cut=THIRD), again) as server:
            assert read(server.client(retry_seconds=5), ["a", "b", "c"]) == BLOBS
            assert asked(server) == [["a", "b", "c"], ["c", "c"]]


def test_an_end_that_is_lost_is_not_missed() -> None:
    """All of a blob is here before its footer: a piece of the body ends between them."""
    empty = framed((b"", None))
    footer = len(empty) - 16 - int.from_bytes(empty[:8], "little")
    first = (b"a" * 1000, None)
    last = (bytes(1024 * 1024 - len(framed(first, (b"", None))) + footer), None)
    body = checked(framed(first, last))
    with ReplayServer(Reply(body, cut=len(body) - 1)) as server:
        assert iterated(server.client(retry_seconds=5), ["a", "b"]) == [first, last]
        assert len(server.requests) == 1


def test_a_bad_block_is_asked_for_again() -> None:
    damaged = bytearray(WHOLE)
    damaged[THIRD] ^= 1
    again = Reply(checked(framed(BLOBS[2], BLOBS[2])))
    with ReplayServer(Reply(bytes(damaged)), again) as server:
        assert iterated(server.client(retry_seconds=5), ["a", "b", "c"]) == BLOBS


def test_a_blob_that_is_another_now_is_refused() -> None:
    shorter = Reply(checked(framed((b"c" * 10, None), (b"c" * 10, None))))
    with ReplayServer(Reply(WHOLE, cut=THIRD), shorter) as server:
        reader: Any = server.client(retry_seconds=5).read_blobs(["a", "b", "c"], stream=True)
        for _ in range(2):
            reader.read()
            reader.next()
        reader.read(1000)
        with pytest.raises(MalformedAnswerError, match="shorter"):
            reader.read()


def test_reading_is_given_up() -> None:
    with ReplayServer(Reply(WHOLE, cut=SECOND), Reply(checked(framed(*BLOBS[1:])), cut=100)) as server:
        with pytest.raises(TruncatedStreamError):
            iterated(server.client(retry_seconds=60), ["a", "b", "c"])
        assert len(server.requests) == CLIENT_ATTEMPTS
    for trouble in (HANG_UP, BUSY):
        with ReplayServer(trouble, Reply(WHOLE)) as server:
            assert iterated(server.client(retry_seconds=5), ["a", "b", "c"]) == BLOBS
