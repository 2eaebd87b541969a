"""Turns: locks that make threads, and processes, wait for one another."""

from __future__ import annotations

import fcntl
import os
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from maxlake.protocol.limits import WRITE_TURN_WAIT


class Turns:
    """A context manager that one thread at a time is in. Raises ``TimeoutError`` after ``patience`` seconds.

    With ``threading.Lock`` a thread that comes back at once overtakes those that wait, for seconds on end.
    """

    def __init__(self, patience: float = WRITE_TURN_WAIT) -> None:
        self._patience = patience
        self._mutex = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        with self._mutex:
            if not self._taken:
                self._taken = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        try:
            served = turn.wait(self._patience)
        except BaseException:  # a signal's handler raised: whose turn it was must not be lost
            self._leave(turn)
            raise
        if not served:
            self._leave(turn)
            raise TimeoutError(f"no turn within {self._patience} s")

    def _leave(self, turn: threading.Event) -> None:
        with self._mutex:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return
        self._next()

    def _next(self) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._next()


@contextmanager
def directory_turn(directory: Path) -> Generator[None]:
    """Take a turn among the processes of this machine that ask for the same directory, however long it takes.

    A process that dies gives its turn back. Processes of other machines may not be kept out.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
