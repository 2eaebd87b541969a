"""Lives of the server process: from a start to a death by a failpoint or a signal, in one home."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from threading import Timer
from typing import TypeVar

import pyarrow as pa
import requests

from maxlake.client.errors import BrokenConnectionError, ConnectFailedError
from maxlake.failpoints import VARIABLE, Failpoint
from maxlake.service import maintenance
from maxlake.service.project import Project
from maxlake.service.service import Service, namespace
from maxlake.testing import LocalServer, local_server
from odps import errors
from tests.budget import Budget
from tests.lake.duckdb_reader import DuckdbReader
from tests.postgresql import Postgresql

PROJECT = "demo"
Point = TypeVar("Point")
#: Seconds that a killed process may take to be gone.
DEATH_TIME = 10.0
#: What clients see of a server that was killed: ours, and PyODPS's whole call or the middle of an answer.
GONE = (
    BrokenConnectionError,
    ConnectFailedError,
    requests.ConnectionError,
    requests.exceptions.ChunkedEncodingError,
    errors.ConnectTimeout,
)
#: Of each suite, however short its time.
FEWEST_DEATHS = 4
#: A write passes these once, the others once an upload or a part.
COMMIT_POINTS = {
    Failpoint.BEFORE_COMMIT_TRANSACTION,
    Failpoint.AFTER_COMMIT_TRANSACTION,
    Failpoint.BEFORE_COMMIT_ANSWER,
}


@dataclass(frozen=True)
class Home:
    """Where servers that follow one another keep their things: the catalog in SQLite, or in PostgreSQL."""

    root: Path
    project: str = PROJECT
    postgresql: Postgresql | None = None

    @property
    def directory(self) -> Path:
        """The project's."""
        return self.root / "projects" / self.project

    @contextmanager
    def life(self, failpoint: str = "") -> Iterator[LocalServer]:
        """Serve again, with the failpoint ``name:n`` armed."""
        arguments = ("--database", self.postgresql.url) if self.postgresql else ()
        environment = {VARIABLE: failpoint}
        with local_server(self.root, self.project, arguments=arguments, environment=environment) as server:
            yield server

    @contextmanager
    def opened(self) -> Iterator[Project]:
        """The project without a server."""
        url = self.postgresql.url if self.postgresql else None
        service = Service.open(self.root, project=self.project, database_url=url)
        yield service.project(self.project)
        service.close()

    def check_nothing_is_left_over(self) -> None:
        """Once nobody comes back any more, maintenance leaves no file that no row names."""
        later = datetime.now(UTC) + timedelta(days=9)
        with self.opened() as project:
            assert not maintenance.maintain(project, later).errors
            assert maintenance.survey(project, later).orphans == []

    def rows(self, reader: DuckdbReader, table: str) -> pa.Table:
        """The rows of a table as DuckDB sees them."""
        if self.postgresql is None:
            return reader.rows(f"sqlite:{self.directory}/lake.sqlite", "default", table)
        options = f"READ_ONLY, METADATA_SCHEMA '{namespace(self.project)}'"
        return reader.rows(self.postgresql.duckdb_catalog, "default", table, options)


def failpoints(points: Sequence[Point], budget: Budget, rng: Random) -> Iterator[Point]:
    """All of ``points``, each time in another order, until the time is spent."""
    rest: list[Point] = []
    for _ in budget.points(at_least=FEWEST_DEATHS):
        rest = rest or rng.sample(points, len(points))
        yield rest.pop()


def assert_killed(server: LocalServer) -> None:
    """The process was killed by SIGKILL: it neither lives nor ended by itself."""
    deadline = time.monotonic() + DEATH_TIME
    while time.monotonic() < deadline:
        ended = os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None:
            assert ended.si_code == os.CLD_KILLED, f"exited with {ended.si_status}"
            assert ended.si_status == signal.SIGKILL
            return
        time.sleep(0.005)
    raise AssertionError("the connection broke, but the server lives")


def die(server: LocalServer, work: Callable[[], None], seconds: float | None = None) -> None:
    """Let ``work`` go on until the server is killed: by its failpoint, or after some seconds."""
    with nullcontext() if seconds is None else killed_after(server, seconds):
        work()
    assert_killed(server)


@contextmanager
def killed_after(server: LocalServer, seconds: float) -> Iterator[None]:
    """Kill the server at a moment that has nothing to do with what it does."""
    timer = Timer(seconds, os.kill, (server.pid, signal.SIGKILL))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
