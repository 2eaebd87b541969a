"""Calls of the client that a coroutine awaits: they run in threads."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from maxlake.protocol.limits import CLIENT_AIO_THREADS

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

P = ParamSpec("P")
R = TypeVar("R")


class Calls:
    """At most CLIENT_AIO_THREADS calls at once, in threads of their own; more wait for their turn."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(CLIENT_AIO_THREADS, "maxlake-aio")

    def begin(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Begin a call in the present context."""
        context = contextvars.copy_context()
        return self._threads.submit(partial(context.run, partial(function, *args, **kwargs)))

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what a call returns, or raise what it raises.

        Cancelling waits for nothing: a call that has begun goes on, and nobody hears of its end.
        """
        return await asyncio.wrap_future(self.begin(function, *args, **kwargs))

    def close(self) -> None:
        """Take no more calls."""
        self._threads.shutdown(wait=False)
