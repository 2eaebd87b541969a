"""Decoded read sessions, kept for the next TableRead: a plan of 10,000 files takes milliseconds to decode."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maxlake.service.read_sessions import ReadSession

#: Entries (files, splits, columns) all cached sessions may hold together: about 64 MB of objects.
CAPACITY = 200_000


class PlanCache:
    """A bounded, thread-safe map of session ids to sessions, which never change and so never go stale."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, ReadSession] = OrderedDict()
        self._entries = 0
        self._lock = threading.Lock()

    def get(self, session_id: str, decode: Callable[[], ReadSession]) -> ReadSession:
        """Return the session, decoding it when it is not at hand."""
        with self._lock:
            if session_id in self._sessions:
                self._sessions.move_to_end(session_id)
                return self._sessions[session_id]
        session = decode()
        with self._lock:
            if session_id not in self._sessions:
                self._sessions[session_id] = session
                self._entries += _entries(session)
            while self._entries > CAPACITY and len(self._sessions) > 1:
                _, evicted = self._sessions.popitem(last=False)
                self._entries -= _entries(evicted)
        return session


def _entries(session: ReadSession) -> int:
    return len(session.plan.files) + len(session.ends) + len(session.columns)
