"""The thread that maintains the projects of a server, now and then (design.md §4)."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from threading import Event, Thread
from typing import TYPE_CHECKING

from maxlake.protocol import limits

if TYPE_CHECKING:
    from maxlake.service.project import Project
    from maxlake.service.service import Service

_log = logging.getLogger(__name__)


class Maintenance:
    """Runs ``interval`` seconds after the start and after the end of each run; 0 is never."""

    def __init__(self, service: Service, interval: float) -> None:
        self._service = service
        self._interval = interval
        self._stop = Event()
        self._thread = Thread(target=self._loop, name="maintenance", daemon=True)

    def start(self) -> None:
        """Begin to wait for the first run."""
        if self._interval:
            self._thread.start()

    def stop(self) -> bool:
        """Stop between two rows, at the latest between two transactions; tell whether it has stopped."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(limits.SHUTDOWN_LAST_WAIT)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while not self._stop.wait(self._interval):
            for project in self._service.open_projects():
                if self._stop.is_set():
                    return
                self._maintain(project)

    def _maintain(self, project: Project) -> None:
        # A server need not load it to start.
        from maxlake.service.maintenance import maintain  # noqa: PLC0415

        try:
            maintain(
                project,
                datetime.now(UTC),
                merge_seconds=limits.MAINTENANCE_BUDGET,
                stopped=self._stop.is_set,
            )
        except Exception:  # noqa: BLE001 - the next run tries again
            _log.exception("maintenance of project %s", project.name)
