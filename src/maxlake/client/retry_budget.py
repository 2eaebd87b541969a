"""How long one operation goes on trying: one budget for everything that goes wrong in it."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from maxlake.client.deadline import Deadline
from maxlake.client.errors import DeadlineExceededError, MalformedAnswerError, TruncatedStreamError
from maxlake.protocol.errors import BusyError, InternalError
from maxlake.protocol.limits import (
    CLIENT_ATTEMPTS,
    CLIENT_MOST_ATTEMPTS,
    CLIENT_RETRY_MOST_PAUSE,
    CLIENT_RETRY_PAUSE,
)

if TYPE_CHECKING:
    from maxlake.client.errors import ClientError


class RetryBudget:
    """Pauses between attempts double, with some jitter, until ``seconds`` have passed since the first failure
    without progress: how long everything went well before does not count.

    Waiting helps while the service cannot be reached or says it is busy. What may as well be there to stay,
    an internal error or rows that end too early, is tried CLIENT_ATTEMPTS times. Nothing is tried more than
    CLIENT_MOST_ATTEMPTS times, however far it comes, and nothing beyond ``deadline``, if there is one.
    """

    def __init__(self, seconds: float, deadline: Deadline | None = None) -> None:
        self.deadline = deadline or Deadline()
        self._seconds = seconds
        self._all_attempts = 1
        self.progressed()

    def progressed(self) -> None:
        """Begin anew: the operation came further."""
        self._given_up_at: float | None = None
        self._pause = CLIENT_RETRY_PAUSE
        self._attempts = 1

    @property
    def is_over(self) -> bool:
        """Whether the time has passed since the first failure without progress."""
        return self._given_up_at is not None and time.monotonic() > self._given_up_at

    def wait(self, error: ClientError) -> None:
        """Wait before the next attempt, at least as long as the service asks for.

        Raises ``error`` when another attempt would not help, or would come too late;
        ``DeadlineExceededError`` when it would come after the deadline.
        """
        self._attempts += 1
        self._all_attempts += 1
        if self._all_attempts > CLIENT_MOST_ATTEMPTS:
            raise error
        if not _may_pass(error) or (not _is_busy(error) and self._attempts > CLIENT_ATTEMPTS):
            raise error
        pause = self._pause * (1 + random.random())  # noqa: S311 - no secret
        pause = max(pause, error.retry_after or 0.0)
        if pause >= self.deadline.left:
            raise self.deadline.exceeded(error) from error
        if self._given_up_at is None:
            self._given_up_at = time.monotonic() + self._seconds
        if time.monotonic() + pause > self._given_up_at:
            raise error
        time.sleep(pause)
        self._pause = min(2 * self._pause, CLIENT_RETRY_MOST_PAUSE)


def _is_busy(error: ClientError) -> bool:
    return isinstance(error, BusyError) and not isinstance(error, TruncatedStreamError)


def _may_pass(error: ClientError) -> bool:
    if isinstance(error, (DeadlineExceededError, MalformedAnswerError)):
        return False
    return isinstance(error, (BusyError, InternalError))
