"""The life cycles of write sessions and streams, as ``protocol/states.py`` has them."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from from_code.markdown import code, table
from maxlake.protocol.enums import StreamState, WriteSessionState
from maxlake.protocol.states import WRITE_SESSION, WRITE_STREAM, LifeCycle, SessionEvent, StreamEvent

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


def session_table() -> str:
    """Return what can happen to a write session in each state."""
    return _table(WRITE_SESSION, WriteSessionState, SessionEvent)


def stream_table() -> str:
    """Return what can happen to a write stream in each state."""
    return _table(WRITE_STREAM, StreamState, StreamEvent)


def _table(cycle: LifeCycle[S, E], states: type[S], events: type[E]) -> str:
    def after(state: S, event: E) -> str:
        return code(cycle.table[state, event]) if cycle.allows(state, event) else "refused"

    rows = ([code(state), *(after(state, event) for event in events)] for state in states)
    return table([f"A {cycle.noun} that is", *events], rows)
