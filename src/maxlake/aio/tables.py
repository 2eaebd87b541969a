"""``maxlake.read`` and ``maxlake.write``, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, wait
from functools import wraps
from threading import Event
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from maxlake.aio.calls import Calls
from maxlake.aio.streams import AsyncItems
from maxlake.client.oneline import reading, writing

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from maxlake.client.oneline.rows import Rows
    from maxlake.client.oneline.targets import PandasTypes
    from maxlake.client.oneline.writing import Written

P = ParamSpec("P")
Table = TypeVar("Table")


class AsyncRows:
    """``Rows``, awaited. Made by ``maxlake.aio.read``."""

    def __init__(self, calls: Calls, rows: Rows) -> None:
        self._calls = calls
        #: The rows themselves, for what needs no waiting: schema, version, splits, state.
        self.rows = rows

    async def __aiter__(self) -> AsyncIterator[pa.RecordBatch]:
        async with AsyncItems(self._calls, iter(self.rows)) as batches:
            async for batch in batches:
                yield batch

    async def to_arrow(self) -> pa.Table:
        """Return all rows as a table."""
        return await self._calls.run(self.rows.to_arrow)

    async def to_pandas(self, types: PandasTypes | str = "arrow") -> pd.DataFrame:
        """Return all rows as a pandas frame; see ``Rows.to_pandas``."""
        return await self._calls.run(self.rows.to_pandas, types)

    async def to_polars(self) -> pl.DataFrame:
        """Return all rows as a polars frame."""
        return await self._calls.run(self.rows.to_polars)

    async def to_parquet(self, directory: str | Path) -> list[Path]:
        """Write a Parquet file a split into ``directory``; see ``Rows.to_parquet``."""
        return await self._calls.run(self.rows.to_parquet, directory)


def _reading(function: Callable[P, Rows]) -> Callable[P, Coroutine[Any, Any, AsyncRows]]:
    @wraps(function)
    async def twin(*args: P.args, **kwargs: P.kwargs) -> AsyncRows:
        calls = Calls()
        return AsyncRows(calls, await calls.run(function, *args, **kwargs))

    return twin


def _writing(
    function: Callable[Concatenate[Table, Any, P], Written],
) -> Callable[Concatenate[Table, Any, P], Coroutine[Any, Any, Written]]:
    @wraps(function)
    async def twin(table: Table, data: Any, /, *args: P.args, **kwargs: P.kwargs) -> Written:
        cancelled = Event()
        kwargs["cancelled"] = cancelled.is_set
        if isinstance(data, AsyncIterable):
            data = _pulled(data, asyncio.get_running_loop(), cancelled)
        call = Calls().begin(function, table, data, *args, **kwargs)
        try:
            return await asyncio.shield(asyncio.wrap_future(call))
        except asyncio.CancelledError:
            cancelled.set()
            # Whoever cancels may count on nothing being written afterwards.
            await asyncio.wait([asyncio.wrap_future(call)])
            raise

    return twin


def _pulled(items: AsyncIterable[Any], loop: asyncio.AbstractEventLoop, cancelled: Event) -> Iterator[Any]:
    """Yield, in a thread, what ``items`` yields in ``loop``."""
    iterator = aiter(items)

    async def step() -> Any:
        return await anext(iterator)

    while True:
        asked = asyncio.run_coroutine_threadsafe(step(), loop)
        while not asked.done() and not cancelled.is_set():
            wait([asked], timeout=_LOOK)
        if not asked.done():
            asked.cancel()
            raise CancelledError
        try:
            yield asked.result()
        except StopAsyncIteration:
            return


#: Seconds between two looks whether an item is still wanted.
_LOOK = 0.1

read = _reading(reading.read)
write = _writing(writing.write)
