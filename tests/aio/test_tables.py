"""One line, awaited: the same rows; whoever cancels finds nothing written."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from threading import Event
from typing import Any, cast

import pyarrow as pa
import pytest

import maxlake.aio
from maxlake.aio import AsyncRows
from maxlake.aio.calls import Calls
from maxlake.client.oneline.rows import Rows
from maxlake.testing import LocalServer, local_server


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with local_server() as running:
        yield running


def batch(number: int) -> pa.RecordBatch:
    return pa.record_batch({"id": pa.array([number], pa.int64())})


async def batches(count: int) -> AsyncIterator[pa.RecordBatch]:
    for number in range(count):
        await asyncio.sleep(0)
        yield batch(number)


def test_written_from_an_async_iterator_and_read_back(server: LocalServer) -> None:
    odps = server.odps()
    odps.create_table("aio_lines", "id bigint")

    async def test() -> None:
        written = await maxlake.aio.write("aio_lines", batches(20), odps=odps)
        assert written.rows == 20
        rows = await maxlake.aio.read("aio_lines", odps=odps)
        assert rows.rows.row_count == 20
        assert sorted((await rows.to_arrow())["id"].to_pylist()) == list(range(20))
        assert sum([each.num_rows async for each in rows]) == 20
        assert len(await rows.to_pandas()) == 20

    asyncio.run(test())


def test_an_iterator_that_fails_writes_nothing(server: LocalServer) -> None:
    odps = server.odps()
    odps.create_table("aio_failing", "id bigint")

    async def failing() -> AsyncIterator[pa.RecordBatch]:
        yield batch(1)
        raise ZeroDivisionError

    async def test() -> None:
        with pytest.raises(ZeroDivisionError):
            await maxlake.aio.write("aio_failing", failing(), odps=odps)
        assert (await maxlake.aio.read("aio_failing", odps=odps)).rows.row_count == 0

    asyncio.run(test())


@pytest.mark.parametrize("waits", ["for an item", "for nothing"])
def test_cancelled_nothing_is_written(server: LocalServer, waits: str) -> None:
    odps = server.odps()
    name = f"aio_cancelled_{waits.rsplit(maxsplit=1)[-1]}"
    odps.create_table(name, "id bigint")
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[pa.RecordBatch]:
        number = 0
        while True:
            yield batch(number)
            number += 1
            begun.set()
            await asyncio.sleep(1000 if waits == "for an item" and number == 3 else 0)

    async def test() -> Any:
        writing = asyncio.create_task(maxlake.aio.write(name, endless(), odps=odps))
        await begun.wait()
        await asyncio.sleep(0.2)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        return (await maxlake.aio.read(name, odps=odps)).rows.row_count

    assert asyncio.run(asyncio.wait_for(test(), 60)) == 0


def test_leaving_early_holds_up_nobody() -> None:
    class SlowToClose:
        def __iter__(self) -> Iterator[int]:
            try:
                yield from range(3)
            finally:
                time.sleep(1.5)
                closed.set()

    closed = Event()

    async def test() -> float:
        async for _ in AsyncRows(Calls(), cast("Rows", SlowToClose())):
            last = time.monotonic()
            break
        longest = time.monotonic() - last
        while not closed.is_set():
            await asyncio.sleep(0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        return longest

    assert asyncio.run(asyncio.wait_for(test(), 60)) < 1
