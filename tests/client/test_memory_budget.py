"""Bounded memory: the rule itself, and that all that a client holds goes by it."""

from __future__ import annotations

import gc
import io
import pickle
import threading
import time
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlake.client import BlobDataIterator
from maxlake.client.buffers import BufferRing
from maxlake.client.memory_budget import MemoryBudget
from maxlake.client.parallel_blobs import read_in_order
from maxlake.client.retry_budget import RetryBudget
from maxlake.client.upload_spool import UploadSpool
from maxlake.protocol.limits import CLIENT_MAX_MEMORY, CLIENT_READ_BUFFERS, CLIENT_SPOOL_MEMORY
from tests.client.replay import ReplayServer, Reply
from tests.client.test_blobs import checked, framed
from tests.client.test_pipeline import COMMITTED, PIECE, PLENTY, senders

#: Seconds a busy machine may take for what takes no time.
PATIENCE = 10


def waiting(call: Any) -> threading.Thread:
    """A thread that does ``call``, and has begun to wait in it, or is through."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(0.1)
    return thread


def ends(thread: threading.Thread) -> bool:
    thread.join(PATIENCE)
    return not thread.is_alive()


# -- the rule -----------------------------------------------------------------------------------------


def test_who_holds_something_waits_for_room() -> None:
    budget = MemoryBudget(100)
    one, other = budget.reservation(), budget.reservation()
    one.grow(60)
    other.grow(40)
    thread = waiting(lambda: other.grow(30))
    assert thread.is_alive()
    one.shrink(20)
    thread.join(0.1)
    assert thread.is_alive()
    one.shrink(10)
    assert ends(thread)
    assert budget.held == 100


def test_who_holds_nothing_goes_on_with_one_piece() -> None:
    budget = MemoryBudget(100)
    budget.reservation().grow(10)
    one, other = budget.reservation(), budget.reservation()
    one.grow(1000)
    other.grow(500)
    assert budget.held == 1500
    thread = waiting(lambda: other.grow(1))
    assert thread.is_alive()
    other.shrink(500)
    assert ends(thread)
    assert budget.held == 1001


def test_nobody_waits_for_a_try() -> None:
    budget = MemoryBudget(100)
    one, other = budget.reservation(), budget.reservation()
    assert one.try_grow(100)
    assert not other.try_grow(1)
    one.free()
    assert other.try_grow(1)
    assert budget.held == 1


def test_nothing_is_always_to_be_had() -> None:
    budget = MemoryBudget(100)
    one = budget.reservation()
    one.grow(200)
    one.grow(0)
    assert budget.reservation().try_grow(0)


def test_nothing_is_freed_twice() -> None:
    budget = MemoryBudget(100)
    one, other = budget.reservation(), budget.reservation()
    one.grow(10)
    other.grow(20)
    one.free()
    one.shrink(10)
    assert budget.held == 20


def test_what_is_dropped_is_freed() -> None:
    budget = MemoryBudget(100)
    other = budget.reservation()
    kept = [budget.reservation()]
    kept[0].grow(90)
    other.grow(10)
    thread = waiting(lambda: other.grow(90))
    kept.clear()
    assert ends(thread)
    assert budget.held == 100


def test_a_higher_limit_lets_go_on() -> None:
    budget = MemoryBudget(10)
    one = budget.reservation()
    one.grow(10)
    thread = waiting(lambda: one.grow(10))
    assert thread.is_alive()
    budget.limit = 20
    assert ends(thread)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="positive"):
            budget.limit = wrong


@given(st.integers(1, 100), st.lists(st.tuples(st.integers(0, 2), st.integers(-80, 80)), max_size=60))
def test_the_bound_holds(limit: int, steps: list[tuple[int, int]]) -> None:
    """Of three operations each may be beyond the limit by one piece, and not more."""
    budget = MemoryBudget(limit)
    operations = [budget.reservation() for _ in range(3)]
    held, pieces = [0, 0, 0], [0, 0, 0]
    for number, size in steps:
        if size < 0:
            operations[number].shrink(-size)
            held[number] = max(0, held[number] + size)
        elif held[number] == 0:
            operations[number].grow(size)
            held[number] = pieces[number] = size
        else:
            fits = not size or sum(held) + size <= limit
            assert operations[number].try_grow(size) is fits
            held[number] += size * fits
        assert budget.held == sum(held) <= limit + sum(pieces)


def test_many_threads_never_wait_for_one_another_for_ever(rng: Random) -> None:
    """Garbage is collected in the middle of everything meanwhile."""
    budget, seeds = MemoryBudget(1000), [rng.randrange(2**32) for _ in range(8)]

    def operate(seed: int) -> None:
        random = Random(seed)
        for _ in range(100):
            mine, sizes = budget.reservation(), list[int]()
            cycle: list[Any] = [budget.reservation()]
            cycle.append(cycle)
            cycle[0].try_grow(100)
            for _ in range(5):
                sizes.append(random.randrange(400))
                # Whoever takes what this one has done.
                taking = threading.Thread(target=mine.shrink, args=(sizes[-1],))
                mine.grow(sizes[-1])
                taking.start()

    thresholds = gc.get_threshold()
    gc.set_threshold(10)
    try:
        threads = [threading.Thread(target=operate, args=(seed,), daemon=True) for seed in seeds]
        for thread in threads:
            thread.start()
        assert all(ends(thread) for thread in threads)
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert budget.held == 0


# -- who goes by it -----------------------------------------------------------------------------------


def test_a_client_has_one_budget() -> None:
    with ReplayServer() as server:
        client = server.client()
        assert client.max_memory == CLIENT_MAX_MEMORY
        client.max_memory = 12345
        copy = pickle.loads(pickle.dumps(client))
        assert (client.memory.limit, copy.max_memory) == (12345, 12345)
        assert copy.memory is not client.memory
        with pytest.raises(ValueError, match="positive"):
            client.max_memory = 0


def test_buffers_are_recycled_within_the_budget() -> None:
    for limit, kept in ((CLIENT_MAX_MEMORY, CLIENT_READ_BUFFERS), (3_000_000, 2), (1000, 1)):
        budget = MemoryBudget(limit)
        ring = BufferRing(budget.reservation())
        views = [ring.take(1_000_000) for _ in range(20)]
        assert len({id(view.obj) for view in views}) == 20
        assert budget.held <= max(limit, 1_048_576)
        assert budget.held // 1_000_000 <= kept
        ring.clear()
        assert budget.held == 0


def test_readers_give_everything_back() -> None:
    batches = [pa.record_batch({"a": pa.array([number] * 50_000)}) for number in range(5)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    with ReplayServer(Reply(sink.getvalue().to_pybytes())) as server:
        client = server.client()
        client.max_memory = 500_000
        ended, closed, dropped = (client.read_rows_arrow("s", 0) for _ in range(3))
        for number in range(3):
            # Of three readers none keeps the others from going on, although one fills the budget.
            assert [each.read() for each in (ended, closed, dropped)] == [batches[number]] * 3
        assert client.memory.held > 0
        assert [ended.read() for _ in range(3)] == [*batches[3:], None]
        closed._stream.close()
        del dropped
        assert client.memory.held == 0


def test_copies_to_be_sent_again_go_to_disk_where_memory_is_short() -> None:
    budget = MemoryBudget(CLIENT_SPOOL_MEMORY + 1000)
    spools = [UploadSpool(RetryBudget(0), budget.reservation()) for _ in range(3)]
    for _ in range(20):
        for spool in spools:
            spool.keep(memoryview(PIECE))
            assert budget.held <= budget.limit
    for spool in spools:
        assert b"".join(spool.pieces()) == PIECE * 20
        spool.close()
    assert budget.held == 0


@pytest.mark.parametrize("limit", [1, 5 * len(PIECE)])
def test_uploads_wait_for_the_service_rather_than_hold_more(limit: int) -> None:
    with ReplayServer(COMMITTED) as server:
        client = server.client()
        client.max_memory = limit
        server.reading.clear()
        writers = [client.write_rows_stream("s", number) for number in range(2)]

        def write(writer: Any) -> None:
            for _ in range(PLENTY // 2):
                writer.write(bytearray(PIECE))

        threads = [waiting(lambda each=each: write(each)) for each in writers]
        most = 0
        for _ in range(20):
            most = max(most, client.memory.held)
            time.sleep(0.01)
        assert all(each.is_alive() for each in threads)
        assert most <= limit
        assert bool(senders()) == (limit > len(PIECE))
        server.reading.set()
        assert all(ends(each) for each in threads)
        assert [each.finish() for each in writers] == [("cm", True)] * 2
        assert [each.body for each in server.requests] == [PIECE * (PLENTY // 2)] * 2
        assert client.memory.held == 0


def test_an_upload_that_is_given_up_gives_its_memory_back() -> None:
    with ReplayServer(COMMITTED) as server:
        client = server.client()
        server.reading.clear()
        writer = client.write_rows_stream("s", 0)
        while not client.memory.held:
            writer.write(PIECE)
        writer.close()
        assert client.memory.held == 0


def test_blobs_before_their_turn_are_held_within_the_budget() -> None:
    size, workers, budget = 1000, 4, MemoryBudget(20_000)
    go, lock, alive = threading.Event(), threading.Lock(), [0]

    class Slow(BlobDataIterator):
        """The first blob does not come before it is let go."""

        def read_data(self, size: int = -1) -> bytes:
            data = super().read_data(size)
            if data.startswith(b"0"):
                go.wait()
            with lock:
                alive[0] += 1
            return data

    def read(references: Any) -> BlobDataIterator:
        blobs = [(str(reference).encode().ljust(size, b"."), None) for reference in references]
        return Slow(io.BytesIO(checked(framed(*blobs))))

    references = [str(number) for number in range(300)]
    found = list[str]()

    def consume() -> None:
        for data, _ in read_in_order(read, references, workers, budget):
            found.append(data.decode().rstrip("."))

    thread = waiting(consume)
    while alive[0] < 20 and thread.is_alive():
        time.sleep(0.01)
    time.sleep(0.1)
    assert budget.limit <= budget.held <= budget.limit + workers * size
    assert alive[0] <= budget.limit // size + workers
    go.set()
    assert ends(thread)
    assert found == references
    assert budget.held == 0


def test_blobs_that_nobody_takes_any_more() -> None:
    budget = MemoryBudget(10)
    body = checked(framed(*[(bytes(100), "a/b")] * 64))
    rest: Any = read_in_order(lambda _: BlobDataIterator(io.BytesIO(body)), ["r"] * 500, 3, budget)
    assert next(rest) == (bytes(100), "a/b")
    rest.close()
    deadline = time.monotonic() + PATIENCE
    while [each for each in threading.enumerate() if each.name == "maxlake-blobs"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert budget.held == 0
