"""Time budgets: long suites go on for as long as they are given, and say how far they came."""

import os
import time
from collections.abc import Iterator

BUDGET = "MAXLAKE_TEST_BUDGET"
#: Seconds from which on nothing is left out.
WHOLE_BUDGET = 60.0


def budget_from_environment() -> float | None:
    """Seconds that each long suite is given in this run, if the caller says so."""
    text = os.environ.get(BUDGET)
    return float(text) if text else None


def in_proportion(count: int) -> int:
    """``count`` for a suite that counts its points, less in a run whose budget is below WHOLE_BUDGET."""
    seconds = budget_from_environment() or WHOLE_BUDGET
    return max(1, round(count * min(1.0, seconds / WHOLE_BUDGET)))


class Budget:
    """Seconds to spend, from now; counts the points reached in them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.reached = 0
        self._started = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self._started + self.seconds - time.monotonic())

    def points(self, at_least: int = 1) -> Iterator[int]:
        """0, 1, 2, … until the time is spent; `at_least` so many whatever it takes.

        A point counts once the caller comes back for the next one.
        """
        while self.left or self.reached < at_least:
            yield self.reached
            self.reached += 1

    def __str__(self) -> str:
        spent = time.monotonic() - self._started
        return f"{self.reached} points in {spent:.0f} s (budget {self.seconds:g} s)"
