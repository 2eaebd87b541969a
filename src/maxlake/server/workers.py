"""Threads that do the work, and the places that bound how much of it goes on at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

from maxlake.protocol import limits
from maxlake.protocol.errors import BusyError, ErrorCode

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """Two pools: calls and row production are short, an upload holds its thread while the client sends."""

    def __init__(self) -> None:
        self._calls = ThreadPoolExecutor(limits.CALL_THREADS, "call")
        self._uploads = ThreadPoolExecutor(limits.MAX_CONCURRENT_UPLOADS, "upload")
        self._read_places = asyncio.Semaphore(limits.MAX_CONCURRENT_READS)
        self._upload_places = asyncio.Semaphore(limits.MAX_CONCURRENT_UPLOADS)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a short function in a thread."""
        return await asyncio.get_running_loop().run_in_executor(
            self._calls, lambda: function(*args, **kwargs)
        )

    async def upload(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that reads an upload in a thread. Only with an ``upload_place``."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._uploads, lambda: function(*args, **kwargs))

    @asynccontextmanager
    async def read_place(self) -> AsyncGenerator[None]:
        """Hold one of the places for row streams. Raises FlowExceeded if none gets free in time."""
        async with _place(self._read_places):
            yield

    @asynccontextmanager
    async def upload_place(self) -> AsyncGenerator[None]:
        """Hold one of the places for uploads. Raises FlowExceeded if none gets free in time."""
        async with _place(self._upload_places):
            yield

    def close(self) -> None:
        """Take no more work; what runs may end."""
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._uploads.shutdown(wait=False, cancel_futures=True)


@asynccontextmanager
async def _place(places: asyncio.Semaphore) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(limits.PLACE_WAIT):
            await places.acquire()
    except TimeoutError as error:
        raise BusyError(
            ErrorCode.FLOW_EXCEEDED, "the server serves as many row streams as it can; repeat the request"
        ) from error
    try:
        yield
    finally:
        places.release()
