"""The awaited client against the real server: the same rows, and nothing holds up the event loop."""

import asyncio
import time
from collections.abc import Coroutine, Iterator
from threading import Event
from typing import Any

import pyarrow as pa
import pytest
from odps.models import Table

from maxlake.aio import StorageApiArrowClient
from maxlake.aio.calls import Calls
from maxlake.aio.streams import AsyncItems
from maxlake.client import BlobWriteItem, SplitOptions
from maxlake.client import StorageApiArrowClient as Client
from maxlake.testing import LocalServer, fault_proxy, faults, local_server

ROWS = pa.record_batch({"id": pa.array(range(1000), pa.int64()), "name": [f"row {n}" for n in range(1000)]})


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with local_server() as running:
        yield running


def run(test: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(test, 120))


def made(server: LocalServer, name: str, columns: str = "id bigint, name string") -> Table:
    odps = server.odps()
    odps.delete_table(name, if_exists=True)
    return odps.create_table(name, columns)


async def written(client: StorageApiArrowClient, streams: int) -> None:
    session = (await client.create_write_session()).session_id

    async def stream(number: int) -> None:
        await client.create_write_stream(session, number)
        async with await client.write_rows_arrow(session, number) as writer:
            await writer.write(ROWS.slice(number, 1))
            await writer.write(ROWS.slice(number + streams, 1))
        await client.close_write_stream(session, number)

    await asyncio.gather(*(stream(number) for number in range(streams)))
    await client.commit_write_session(session)


def test_rows_come_back_through_streams_and_splits_at_once(server: LocalServer) -> None:
    table = made(server, "aio_rows")

    async def test() -> None:
        async with StorageApiArrowClient(server.odps(), table) as client:
            await written(client, 10)
            four = SplitOptions(split_mode=SplitOptions.SplitMode.PARALLELISM, split_number=4)
            session = await client.create_read_session(split_options=four)

            async def split(number: int) -> list[int]:
                reader = await client.read_rows_arrow(session.session_id, number, max_batch_rows=3)
                found = [id_ async for batch in reader for id_ in batch["id"].to_pylist()]
                assert reader.reader.get_request_id()
                return found

            found = await asyncio.gather(*(split(number) for number in range(session.splits_count or 0)))
            assert sorted(id_ for ids in found for id_ in ids) == list(range(20))
            async with await client.read_rows_stream(session.session_id) as stream:
                assert pa.ipc.open_stream(await stream.read()).read_all().num_rows == 20
            preview = await client.preview_table_arrow(limit=2)
            first = await preview.read()
            assert first is not None and first.num_rows == 2

    run(test())


def test_every_method_of_the_client_has_its_twin() -> None:
    ours = {name for name in dir(Client) if not name.startswith("_") and callable(getattr(Client, name))}
    settings = {"table", "tunnel_rest", "route_token", "retry_seconds", "deadline_seconds", "max_memory"}
    assert ours - settings <= set(dir(StorageApiArrowClient))


def test_a_slow_answer_holds_up_nobody(server: LocalServer) -> None:
    table = made(server, "aio_slow")

    async def test(client: StorageApiArrowClient) -> None:
        ticks = 0
        call = asyncio.create_task(client.create_read_session())
        while not call.done():
            await asyncio.sleep(0.01)
            ticks += 1
        assert (await call).record_count == 0
        assert ticks >= 20

    with fault_proxy(server.endpoint) as proxy:
        odps = server.odps()
        client = StorageApiArrowClient(odps, odps.get_table(table.name), rest_endpoint=proxy.endpoint)
        with proxy.inject(faults.delay(0.5)):
            run(test(client))


def test_a_cancelled_reader_is_closed(server: LocalServer) -> None:
    table = made(server, "aio_cancelled")

    async def test() -> None:
        async with StorageApiArrowClient(server.odps(), table) as client:
            await written(client, 2)
            session = await client.create_read_session()
            reader = await client.read_rows_arrow(session.session_id, max_batch_rows=1)
            reading = asyncio.create_task(reader.read())
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await reader.close()
            with pytest.raises(ValueError, match="closed"):
                await reader.read()

    run(test())


def test_a_writer_left_by_an_exception_discards(server: LocalServer) -> None:
    table = made(server, "aio_discarded")

    async def test() -> None:
        async with StorageApiArrowClient(server.odps(), table) as client:
            session = (await client.create_write_session()).session_id
            await client.create_write_stream(session, 0)
            writer = await client.write_rows_arrow(session, 0)
            await writer.write(ROWS)
            await writer.__aexit__(ZeroDivisionError, ZeroDivisionError(), None)
            assert await writer.finish() == (None, False)
            async with await client.upload_stream(session, 1) as upload:
                await upload.write(ROWS.slice(0, 5))
            await client.commit_write_session(session, ["1"], [upload.writer.stream_version])
            assert (await client.create_read_session()).record_count == 5

    run(test())


def test_blobs(server: LocalServer) -> None:
    table = made(server, "aio_blobs", "id bigint, data blob")

    async def test() -> None:
        async with StorageApiArrowClient(server.odps(), table) as client:
            session = (await client.create_write_session()).session_id
            await client.create_write_stream(session, 0)
            async with await client.write_blob_stream(session, 0, column_index=1) as writer:
                await writer.write(b"one")
            one = (await writer.finish()).blob_reference
            batch = await client.write_blob_batch([BlobWriteItem(b"two")], session, 0, column_index=1)
            references = [one, *batch.blob_references]
            rows = pa.record_batch({"id": [1, 2], "data": pa.array(references, pa.string())})
            async with await client.write_rows_arrow(session, 0) as rows_writer:
                await rows_writer.write(rows)
            await client.close_write_stream(session, 0)
            await client.commit_write_session(session)
            blobs = await client.read_blobs(references)
            assert isinstance(blobs, AsyncItems)
            assert [data async for data, _ in blobs] == [b"one", b"two"]
            assert [data async for data, _ in await client.read_blobs_parallel(references)] == [
                b"one",
                b"two",
            ]
            pieces = await client.read_blob_stream(references)
            assert [await pieces.read(2), await pieces.read()] == [b"on", b"e"]
            assert await pieces.next() is pieces
            assert await pieces.read() == b"two"
            assert await pieces.next() is None

    run(test())


def test_a_cancelled_call_is_no_other_error() -> None:
    def slow() -> Iterator[int]:
        try:
            yield 1
            time.sleep(0.5)
            yield 2
        finally:
            closed.set()

    closed = Event()

    calls = Calls()

    async def too_slow() -> None:
        async with asyncio.timeout(0.1), AsyncItems(calls, slow()) as items:
            async for _ in items:
                pass

    with pytest.raises(TimeoutError):
        run(too_slow())
    assert closed.wait(10)
