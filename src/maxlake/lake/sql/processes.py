"""Worker processes: each runs one job at a time, and is ended when that takes too long or is not wanted."""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from tempfile import TemporaryFile
from threading import Lock

from maxlake.lake.sql import jobs
from maxlake.lake.sql.jobs import LENGTH, Failed, Job, Outcome
from maxlake.protocol.errors import ErrorCode
from maxlake.protocol.limits import QUERY_TIME

_COMMAND = (sys.executable, "-m", "maxlake.lake.sql.worker")
#: How often a running job is asked whether it is still wanted.
_POLL = 0.2
_CHUNK = 1024 * 1024
#: Bytes of what a process has printed that its death tells: to the client, and in the log.
_ERROR_TEXT = 2000
_ERROR_LOG = 64 * 1024
#: Jobs a process runs before another takes its place, so that what it has not given back is.
_JOBS = 100

_log = logging.getLogger(__name__)


class WorkerPool:
    """Idle workers, kept because one takes longer to start than most queries to run. Thread-safe."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []
        self._lock = Lock()

    def run(self, job: Job, cancelled: Callable[[], bool]) -> Outcome:
        """Run a job to its end; a worker that crashes is a failure like any other.

        What a job that was killed has written are files nobody refers to.
        """
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        worker = worker or _Worker()
        try:
            outcome = worker.run(job, cancelled)
        except BaseException:
            worker.end()
            raise
        if worker.is_fit:
            with self._lock:
                self._idle.append(worker)
        else:
            worker.end()
        return outcome

    def close(self) -> None:
        """End the idle workers."""
        with self._lock:
            while self._idle:
                self._idle.pop().end()


class _Worker:
    """One process. Its input stays open: where it ends, the worker knows that nobody waits, and ends too."""

    def __init__(self) -> None:
        self._errors = TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )
        self._jobs = 0
        self._alive = True

    @property
    def is_fit(self) -> bool:
        """Whether it takes another job."""
        return self._alive and self._jobs < _JOBS

    def run(self, job: Job, cancelled: Callable[[], bool]) -> Outcome:
        end = time.monotonic() + QUERY_TIME
        self._jobs += 1
        self._send(jobs.encode(job))
        answer = b""
        while self._alive:
            if cancelled():
                self._alive = False
                return Failed(ErrorCode.CANCELLED, "the instance was stopped")
            if time.monotonic() > end:
                self._alive = False
                return Failed(ErrorCode.REQUEST_TIMEOUT, f"the statement ran longer than {QUERY_TIME} s")
            answer += self._received()
            if len(answer) >= LENGTH.size:
                (length,) = LENGTH.unpack_from(answer)
                if len(answer) == LENGTH.size + length:
                    return jobs.decode_outcome(answer[LENGTH.size :])
        return Failed(
            ErrorCode.INTERNAL_SERVER_ERROR, f"the process of the statement died: {self._last_words()}"
        )

    def _send(self, message: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(LENGTH.pack(len(message)) + message)
            self._process.stdin.flush()
        except BrokenPipeError:
            self._alive = False

    def _received(self) -> bytes:
        """Return what comes within a moment; nothing more comes of a dead process."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _POLL)
        if not ready:
            return b""
        piece = self._process.stdout.read1(_CHUNK)  # type: ignore[attr-defined]
        self._alive = bool(piece)
        return piece

    def _last_words(self) -> str:
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - _ERROR_LOG))
        text = self._errors.read().decode(errors="replace").strip()
        _log.error("a SQL worker died: %s", text or "no message")
        return text.splitlines()[-1][:_ERROR_TEXT] if text else "no message"

    def end(self) -> None:
        """Kill the process, whatever it is doing."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()
