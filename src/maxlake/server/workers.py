"""Threads that do the work, the places that bound how much of it goes on at once, and their end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from threading import Event
from typing import Any, ParamSpec, TypeVar

from maxlake.protocol import limits
from maxlake.protocol.errors import BusyError, ErrorCode

P = ParamSpec("P")
T = TypeVar("T")
#: Asks whether to stop.
Stopped = Callable[[], bool]


class StillRunningError(Exception):
    """The server ends before a function does: what it did, or will do yet, is not known."""


class Workers:
    """Three pools: calls and row production are short, uploads wait for their clients, long calls compute.

    A task is cancelled only because the server ends. A function that waits for a thread is then not begun;
    one that runs is waited for, ``SHUTDOWN_LAST_WAIT`` seconds at most, because its result may be stored
    already: to tell the client to repeat it would store it twice.
    """

    def __init__(self) -> None:
        self._calls = ThreadPoolExecutor(limits.CALL_THREADS, "call")
        self._uploads = ThreadPoolExecutor(limits.MAX_CONCURRENT_UPLOADS, "upload")
        self._long_calls = ThreadPoolExecutor(limits.MAX_LONG_CALLS, "long")
        self._long_places = asyncio.Semaphore(limits.MAX_LONG_CALLS)
        self._read_places = asyncio.Semaphore(limits.MAX_CONCURRENT_READS)
        self._upload_places = asyncio.Semaphore(limits.MAX_CONCURRENT_UPLOADS)
        self._running: set[Future[Any]] = set()
        self._end: float | None = None

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a short function in a thread. Raises StillRunningError if the server ends before it."""
        return await self._result(self._calls.submit(partial(function, *args, **kwargs)))

    async def long_call(self, function: Callable[[Stopped], T], gone: asyncio.Task[None]) -> T:
        """Run a function that may take minutes in a thread of a pool of its own.

        It is given a callback that says when to stop: ``gone`` is done (the client went away), or the server
        ends. Raises FlowExceeded if no place gets free in time, and StillRunningError as ``call``.
        """
        stop = Event()
        gone.add_done_callback(lambda _: stop.set())
        async with _place(self._long_places):
            return await self._result(self._long_calls.submit(function, stop.is_set), stop.set)

    async def upload(self, function: Callable[[], T], interrupt: Callable[[], None]) -> T:
        """Run a function that reads an upload in a thread. Only with an ``upload_place``.

        ``interrupt`` is called if the server ends, to make the function stop waiting for its client.
        Raises StillRunningError as ``call``.
        """
        return await self._result(self._uploads.submit(function), interrupt)

    async def _result(self, job: Future[T], interrupt: Callable[[], None] = lambda: None) -> T:
        self._running.add(job)
        job.add_done_callback(self._running.discard)
        waiter = asyncio.wrap_future(job)
        while not waiter.done() and (left := self._time_left()) != 0:
            try:
                await asyncio.wait([waiter], timeout=left)
            except asyncio.CancelledError:
                self._end = self._end or time.monotonic() + limits.SHUTDOWN_LAST_WAIT
                if job.cancel():
                    raise
                interrupt()
        if not waiter.done():
            raise StillRunningError
        return waiter.result()

    def _time_left(self) -> float | None:
        """Return how many seconds a running function still has; None while the server is not to end."""
        return None if self._end is None else max(0, self._end - time.monotonic())

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

    def close(self) -> bool:
        """Take no more work and wait for what runs, not beyond the server's time; tell if all has ended."""
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._uploads.shutdown(wait=False, cancel_futures=True)
        self._long_calls.shutdown(wait=False, cancel_futures=True)
        left = self._time_left()
        wait = limits.SHUTDOWN_LAST_WAIT if left is None else left
        return not concurrent.futures.wait(list(self._running), wait).not_done


@asynccontextmanager
async def _place(places: asyncio.Semaphore) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(limits.PLACE_WAIT):
            await places.acquire()
    except TimeoutError as error:
        raise BusyError(
            ErrorCode.FLOW_EXCEEDED, "the server does as much of this at once as it can; repeat the request"
        ) from error
    try:
        yield
    finally:
        places.release()
