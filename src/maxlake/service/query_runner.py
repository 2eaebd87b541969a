"""The statements that are being run, or wait for it: some threads, each watching a worker process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock, Thread

from maxlake.lake.sql.processes import WorkerPool
from maxlake.protocol.errors import BusyError, ErrorCode
from maxlake.protocol.limits import INSTANCE_LEASE, MAX_QUERIES, MAX_WAITING_QUERIES

_log = logging.getLogger(__name__)

#: Is told whether its work is no longer wanted.
Work = Callable[[Callable[[], bool]], None]


class QueryRunner:
    """Runs ``MAX_QUERIES`` instances at once. Threads begin with the first one."""

    def __init__(self) -> None:
        self._stops: dict[str, Event] = {}
        self._lock = Lock()
        self._closed = Event()
        self._pool = ThreadPoolExecutor(MAX_QUERIES, thread_name_prefix="query")
        self._renewer: Thread | None = None
        self.workers = WorkerPool()

    @property
    def closing(self) -> bool:
        """Whether the server ends."""
        return self._closed.is_set()

    def start(self, instance_id: str, work: Work, renew: Callable[[Sequence[str]], None]) -> None:
        """Run ``work`` when its turn comes; until it is done ``renew`` is called now and then.

        Raises ``FlowExceeded`` if too many wait already.
        """
        stop = Event()
        with self._lock:
            if len(self._stops) >= MAX_QUERIES + MAX_WAITING_QUERIES or self.closing:
                raise BusyError(
                    ErrorCode.FLOW_EXCEEDED, f"{len(self._stops)} statements are waiting already; try later"
                )
            self._stops[instance_id] = stop
            if self._renewer is None:
                self._renewer = Thread(target=self._renew, args=(renew,), name="leases", daemon=True)
                self._renewer.start()
        self._pool.submit(self._run, instance_id, work, stop)

    def _run(self, instance_id: str, work: Work, stop: Event) -> None:
        try:
            work(lambda: stop.is_set() or self._closed.is_set())
        except Exception:  # noqa: BLE001 - nobody waits for it here; clients are told when the lease runs out
            _log.exception("the end of instance %s could not be recorded", instance_id)
        finally:
            with self._lock:
                self._stops.pop(instance_id, None)

    def _renew(self, renew: Callable[[Sequence[str]], None]) -> None:
        while not self._closed.wait(INSTANCE_LEASE / 3):
            with self._lock:
                held = list(self._stops)
            if held:
                try:
                    renew(held)
                except Exception:  # noqa: BLE001 - the next time may be in time
                    _log.exception("the leases of %s instances could not be renewed", len(held))

    def stop(self, instance_id: str) -> bool:
        """Ask an instance to stop; False if it is none of those here."""
        with self._lock:
            stop = self._stops.get(instance_id)
        if stop is None:
            return False
        stop.set()
        return True

    def close(self) -> None:
        """Stop everything and wait for it, which takes no longer than a commit."""
        self._closed.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.workers.close()
