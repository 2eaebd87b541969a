"""Group commit: what waits while one transaction runs goes into the next, all together (design.md §4)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

J = TypeVar("J")
R = TypeVar("R")


class _Waiting(Generic[J, R]):
    """A caller's job; ``leads`` says that its caller is to perform all that wait by then."""

    def __init__(self, job: J) -> None:
        self.job = job
        self.leads = False
        self.woken = threading.Event()
        self.outcome: Future[R] = Future()


class GroupCommit(Generic[J, R]):
    """Runs the jobs of many threads in groups, in the order they came, one group at a time.

    Who comes first performs its own job at once; those that come meanwhile wait, and the first of them
    performs them all, at most ``largest``. Nobody waits for company: a caller alone is never delayed.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._mutex = threading.Lock()
        self._waiting: list[_Waiting[J, R]] = []
        self._led = False

    def run(self, job: J, perform: Callable[[Sequence[J]], Sequence[R]]) -> R:
        """Return the outcome of a job, or raise it. ``perform`` returns one for each job of a group.

        What ``perform`` raises instead is the outcome of them all.
        """
        mine: _Waiting[J, R] = _Waiting(job)
        with self._mutex:
            self._waiting.append(mine)
            mine.leads = not self._led
            self._led = True
        if not mine.leads:
            mine.woken.wait()
        if mine.leads:
            self._lead(perform)
        return mine.outcome.result()

    def _lead(self, perform: Callable[[Sequence[J]], Sequence[R]]) -> None:
        with self._mutex:
            group = self._waiting[: self._largest]
            del self._waiting[: self._largest]
        try:
            for each, outcome in zip(group, perform([each.job for each in group]), strict=True):
                each.outcome.set_result(outcome)
        except BaseException as error:  # noqa: BLE001 - everyone's own call raises it
            for each in group:
                if not each.outcome.done():
                    each.outcome.set_exception(error)
        finally:
            self._hand_over()
            for each in group:
                each.woken.set()

    def _hand_over(self) -> None:
        with self._mutex:
            self._led = bool(self._waiting)
            if self._led:
                self._waiting[0].leads = True
                self._waiting[0].woken.set()
