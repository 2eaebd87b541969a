"""When an operation must be done, whatever it waits for."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from maxlake.client.errors import DeadlineExceededError

if TYPE_CHECKING:
    from maxlake.client.errors import ClientError


class Deadline:
    """So many seconds from now; never, if they are ``None``."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = math.inf if seconds is None else seconds
        self._end = time.monotonic() + self._seconds

    @property
    def is_set(self) -> bool:
        """Whether there is an end at all."""
        return self._end < math.inf

    @property
    def left(self) -> float:
        """Seconds left; not above zero when the time is over."""
        return self._end - time.monotonic()

    def patience(self, longest: float) -> float:
        """Return how long one step may take, at most ``longest``.

        Raises ``TimeoutError`` if no time is left.
        """
        left = self.left
        if left <= 0:
            raise TimeoutError("no time is left")
        return min(left, float(longest))

    def judged(self, error: ClientError) -> ClientError:
        """Return ``error``, or if the time is over, an error that says so."""
        return self.exceeded(error) if self.left <= 0 else error

    def exceeded(self, error: ClientError) -> DeadlineExceededError:
        """Return the error of an operation that came no further than ``error``."""
        return DeadlineExceededError(
            f"not done within the {self._seconds:g} s of deadline_seconds: {error}",
            code="DeadlineExceeded",
            request_id=error.request_id,
            status_code=error.status_code,
        )
