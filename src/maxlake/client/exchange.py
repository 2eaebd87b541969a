"""One HTTP exchange as values: what is asked, and what came back."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class HttpRequest:
    """A request before it is signed. ``body`` is ``None`` when the body is streamed, or there is none.

    ``repeatable`` tells that doing it twice harms no more than doing it once: its answer may get lost.
    """

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    repeatable: bool = False


@dataclass(frozen=True)
class Answer:
    """A complete answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
