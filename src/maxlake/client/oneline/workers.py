"""Threads that do one work between them."""

from __future__ import annotations

import time
from threading import Thread
from typing import TYPE_CHECKING

from maxlake.protocol.limits import CLIENT_STOP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable


class Workers:
    """Daemon threads, each of which does ``work``, which raises nothing: none keeps the interpreter."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._name = name
        self._work = work
        self._threads: list[Thread] = []

    def __len__(self) -> int:
        return len(self._threads)

    def add(self) -> None:
        """Start another one."""
        thread = Thread(target=self._work, name=f"{self._name}-{len(self)}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def join(self) -> None:
        """Wait until all have ended."""
        for thread in self._threads:
            thread.join()

    def leave(self) -> None:
        """Wait for all together at most CLIENT_STOP_SECONDS: they were told to stop."""
        end = time.monotonic() + CLIENT_STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
