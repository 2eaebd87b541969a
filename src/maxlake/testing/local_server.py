"""``local_server()``: the real ``maxlake serve`` in its own process, for the length of a ``with``."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from maxlake.failpoints import FAULTS_VARIABLE, BatchPoint, Failpoint
from maxlake.server.keys import ACCESS_ID_VARIABLE, SECRET_VARIABLE, stored_key
from maxlake.testing.entry import entry

#: A cold start takes a second; a loaded machine several.
_START_TIME = 60.0
#: The server drains for at most 10 s.
_STOP_TIME = 20.0
_POLL = 0.01


class ServerDiedError(RuntimeError):
    """The server process ended, or did not start; the message holds the end of its log."""


class InjectedFault:
    """A failure that a server is to meet. Made by ``LocalServer.failing``."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._disarmed = False

    @property
    def met(self) -> bool:
        """Whether it has happened: a test in which it has not shows nothing."""
        return not self._disarmed and not self._file.exists()

    def arm(self, passes: int) -> None:
        """Let it happen at the n-th pass from now on."""
        if passes < 1:
            raise ValueError(f"passes are counted from 1, not {passes}")
        self._file.parent.mkdir(exist_ok=True)
        draft = self._file.with_suffix(".draft")
        draft.write_text(str(passes))
        draft.replace(self._file)

    def disarm(self) -> None:
        """Let it happen no more."""
        self._disarmed = not self.met
        self._file.unlink(missing_ok=True)


class LocalServer:
    """A running server process on this machine. Made by ``local_server``."""

    def __init__(
        self, root: Path, project: str, arguments: tuple[str, ...], environment: Mapping[str, str]
    ) -> None:
        self.root = root
        self.project = project
        self.log_path = root / "serve.log"
        self._arguments = arguments
        self._faults = root / "faults"
        self._environment = {**environment, FAULTS_VARIABLE: str(self._faults)}
        self._ready_file = root / "ready.json"
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self.endpoint = ""
        self.access_id = ""
        self.secret = ""

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._running().pid

    @property
    def log(self) -> str:
        """All that the server has written, over its restarts."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self) -> None:
        """Start the process and wait until it accepts requests. Raises ServerDiedError."""
        self._ready_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "maxlake.cli", "serve", *self._options()]
        self.log_path.touch(0o600)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command, stdout=log, stderr=log, env=self._environment
            )
        ready = self._wait_until_ready(self._process)
        self.endpoint = ready["endpoint"]
        self._port = int(self.endpoint.removesuffix("/api").rpartition(":")[2])
        self.access_id = self._environment.get(ACCESS_ID_VARIABLE, "")
        self.secret = self._environment.get(SECRET_VARIABLE, "")
        if not self.access_id:
            key = stored_key(self.root)
            self.access_id, self.secret = key.access_id, key.secret

    def _options(self) -> list[str]:
        options = {
            "--root": str(self.root),
            "--port": str(self._port),
            "--project": self.project,
            "--ready-file": str(self._ready_file),
        }
        return [word for option in options.items() for word in option] + list(self._arguments)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        deadline = time.monotonic() + _START_TIME
        while time.monotonic() < deadline:
            if self._ready_file.exists():
                return json.loads(self._ready_file.read_bytes())
            if process.poll() is not None:
                raise ServerDiedError(f"maxlake serve ended with {process.returncode}:\n{self.log[-4000:]}")
            time.sleep(_POLL)
        process.kill()
        process.wait()
        raise ServerDiedError(f"maxlake serve was not ready in {_START_TIME} s:\n{self.log[-4000:]}")

    def odps(self, project: str | None = None, **options: Any) -> Any:
        """Return a PyODPS entry object for this server; ``options`` go to ``odps.ODPS``."""
        return entry(self.access_id, self.secret, project or self.project, self.endpoint, **options)

    def kill(self) -> None:
        """End the process at once, as ``kill -9`` does."""
        process = self._running()
        process.send_signal(signal.SIGKILL)
        process.wait()
        self._process = None

    def terminate(self) -> int:
        """Ask the process to end, as service managers do, and return its exit status."""
        process = self._running()
        process.terminate()
        status = process.wait(_STOP_TIME)
        self._process = None
        return status

    @contextmanager
    def failing(self, point: BatchPoint | Failpoint, passes: int = 1) -> Generator[InjectedFault]:
        """Let the server's work fail once within the ``with``: when it comes to ``point`` so often.

        What happens then is up to the server, as for any failure nobody thought of: the call is answered
        500, or its answer, if it has begun, breaks off.
        """
        fault = InjectedFault(self._faults / point)
        fault.arm(passes)
        try:
            yield fault
        finally:
            fault.disarm()

    def expire(self, session_id: str) -> None:
        """Let the time of a read or write session be over. Raises KeyError if there is none with this id."""
        # The catalog takes half a second to import.
        from maxlake.testing.expired_sessions import expire  # noqa: PLC0415

        options = dict(pairwise(self._arguments))
        expire(self.root, self.project, options.get("--database"), session_id)

    def restart(self) -> None:
        """Start the server again on the same root and port; kill it first if it runs."""
        if self._process is not None:
            self.kill()
        self.start()

    def stop(self) -> None:
        """End the process if it runs; it is killed if it does not end by itself in time."""
        if self._process is None:
            return
        try:
            self.terminate()
        except subprocess.TimeoutExpired:
            self.kill()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerDiedError("the server is not running; restart() it")
        return self._process


@contextmanager
def local_server(
    root: Path | None = None,
    project: str = "demo",
    *,
    session_lifetime: float | None = None,
    arguments: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> Generator[LocalServer]:
    """Serve ``project`` from ``root``, by default a temporary directory removed at the end.

    Sessions expire after ``session_lifetime`` seconds (default: 24 hours).
    ``arguments`` are added to the command line of ``maxlake serve``, ``environment`` to its environment.
    Raises ServerDiedError if it does not start. If the body of the ``with`` fails, the note of its error
    holds the end of the server's log.
    """
    place = Path(tempfile.mkdtemp(prefix="maxlake-")) if root is None else root
    place.mkdir(parents=True, exist_ok=True)
    if session_lifetime is not None:
        arguments = ("--session-lifetime", str(session_lifetime), *arguments)
    server = LocalServer(place, project, arguments, {**os.environ, **(environment or {})})
    try:
        server.start()
        with _log_noted(server):
            yield server
    finally:
        server.stop()
        if root is None:
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _log_noted(server: LocalServer) -> Generator[None]:
    try:
        yield
    except BaseException as error:
        error.add_note(f"The server's log ends:\n{server.log[-4000:]}")
        raise
