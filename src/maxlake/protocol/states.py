"""Life cycles as transition tables (drift.md B.8). An illegal step is a typed error and changes nothing."""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, TypeVar

from maxlake.protocol.enums import StreamState, WriteSessionState
from maxlake.protocol.errors import ConflictError, ErrorCode

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class SessionEvent(StrEnum):
    """What happens to a write session."""

    WRITE = "write"
    COMMIT = "commit"
    ABORT = "abort"


class StreamEvent(StrEnum):
    """What happens to a write stream."""

    WRITE = "write"
    FAIL = "fail"
    CLOSE = "close"


class LifeCycle(Generic[S, E]):
    """A transition table: (state, event) → state."""

    def __init__(self, noun: str, code: ErrorCode, table: dict[tuple[S, E], S]) -> None:
        self.noun = noun
        self.code = code
        self.table = table

    def allows(self, state: S, event: E) -> bool:
        """Tell whether ``event`` is a legal step from ``state``."""
        return (state, event) in self.table

    def step(self, state: S, event: E, *, where: str, hint: str) -> S:
        """Return the state after ``event``; raise :class:`ConflictError` when it is not allowed."""
        after = self.table.get((state, event))
        if after is None:
            raise ConflictError(
                self.code, f"the {self.noun} is {state.value}, it cannot {event.value}; {hint}", where=where
            )
        return after


WRITE_SESSION: LifeCycle[WriteSessionState, SessionEvent] = LifeCycle(
    "write session",
    ErrorCode.INVALID_SESSION_STATUS,
    {
        (WriteSessionState.NORMAL, SessionEvent.WRITE): WriteSessionState.NORMAL,
        (WriteSessionState.NORMAL, SessionEvent.COMMIT): WriteSessionState.COMMITTED,
        (WriteSessionState.NORMAL, SessionEvent.ABORT): WriteSessionState.ABORTED,
        # A repeated call after a lost answer is answered as the first time (drift.md B.13).
        (WriteSessionState.COMMITTED, SessionEvent.COMMIT): WriteSessionState.COMMITTED,
        (WriteSessionState.ABORTED, SessionEvent.ABORT): WriteSessionState.ABORTED,
    },
)

WRITE_STREAM: LifeCycle[StreamState, StreamEvent] = LifeCycle(
    "write stream",
    ErrorCode.INVALID_STREAM_STATUS,
    {
        (StreamState.OPEN, StreamEvent.WRITE): StreamState.OPEN,
        (StreamState.OPEN, StreamEvent.FAIL): StreamState.ERROR,
        (StreamState.OPEN, StreamEvent.CLOSE): StreamState.CLOSED,
        (StreamState.CLOSED, StreamEvent.CLOSE): StreamState.CLOSED,
    },
)
