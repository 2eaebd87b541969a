"""Worker processes: one for each job, ended when it takes too long, is cancelled, or its server ends."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import IO

from maxlake.lake.sql import jobs
from maxlake.lake.sql.jobs import LENGTH, Failed, Job, Outcome
from maxlake.protocol.errors import ErrorCode
from maxlake.protocol.limits import QUERY_TIME

_COMMAND = (sys.executable, "-m", "maxlake.lake.sql.worker")
#: How often a running job is asked whether it is still wanted.
_POLL = 0.2
_ERROR_TEXT = 2000

_log = logging.getLogger(__name__)


def run(job: Job, cancelled: Callable[[], bool]) -> Outcome:
    """Run a job to its end; a worker that crashes is a failure like any other.

    The parts of a failed job, if it was killed while it wrote, are files nobody refers to.
    """
    end = time.monotonic() + QUERY_TIME
    message = jobs.encode(job)
    with subprocess.Popen(
        _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        answer, errors = _Pipe(process.stdout), _Pipe(process.stderr)
        try:
            _send(process, message)
            while answer.is_open():
                if cancelled():
                    return Failed(ErrorCode.CANCELLED, "the instance was stopped")
                if time.monotonic() > end:
                    return Failed(ErrorCode.REQUEST_TIMEOUT, f"the statement ran longer than {QUERY_TIME} s")
                answer.wait(_POLL)
        finally:
            process.kill()
    if not answer.content:
        text = errors.content.decode(errors="replace")
        _log.error("a SQL worker died: %s", text)
        reason = text.strip().splitlines()[-1][:_ERROR_TEXT] if text.strip() else "no message"
        return Failed(ErrorCode.INTERNAL_SERVER_ERROR, f"the process of the statement died: {reason}")
    return jobs.decode_outcome(answer.content)


def _send(process: subprocess.Popen[bytes], message: bytes) -> None:
    """Write the job, and leave the pipe open: its end tells the worker that nobody waits."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it is dead already, and its errors say why
        process.stdin.write(LENGTH.pack(len(message)) + message)
        process.stdin.flush()


class _Pipe:
    """Reads a pipe to its end in a thread of its own."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        assert pipe is not None
        self.content = b""
        self._pipe = pipe
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        self.content = self._pipe.read()

    def is_open(self) -> bool:
        return self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        self._thread.join(seconds)
