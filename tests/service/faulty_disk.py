"""Every call by which the service writes, counted; one of them can be made to fail as disks do."""

from __future__ import annotations

import errno
import functools
import os
import sqlite3
import sqlite3.dbapi2
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from maxlake.lake import parts

#: What SQLite says of an error of the system.
_SQLITE_SAYS = {errno.EIO: "disk I/O error", errno.ENOSPC: "database or disk is full"}
#: Functions that reach the disk, beside those of SQLite and PyArrow.
_CALLS: list[tuple[Any, str]] = [
    (os, "open"),
    (os, "fsync"),
    (Path, "mkdir"),
    (Path, "rename"),
    (Path, "unlink"),
    (Path, "open"),
]
_PARQUET_WRITER = pq.ParquetWriter


class FaultyDisk:
    """Counts calls while it watches; ``calls`` has their names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self._fails_at: int | None = None
        self._error = errno.EIO
        self._watches = False
        for owner, name in _CALLS:
            monkeypatch.setattr(owner, name, self._watched(getattr(owner, name), name))
        # Only there: the footers of no rows that tell column names are written in memory.
        monkeypatch.setattr(parts, "pq", SimpleNamespace(ParquetWriter=self._opened))
        connect = sqlite3.dbapi2.connect
        factory = _connection_class(self)
        monkeypatch.setattr(
            sqlite3.dbapi2, "connect", lambda *args, **options: connect(*args, **options, factory=factory)
        )

    @contextmanager
    def watching(self, fails_at: int | None = None, error: int = errno.EIO) -> Iterator[None]:
        """Count calls from 0, and let the one with the number ``fails_at`` fail."""
        self.calls, self._fails_at, self._error, self._watches = [], fails_at, error, True
        try:
            yield
        finally:
            self._watches = False

    @property
    def failed(self) -> str:
        """The call that failed; nothing if there were fewer."""
        number = self._fails_at
        return self.calls[number] if number is not None and number < len(self.calls) else ""

    def fails(self, name: str) -> bool:
        """Count a call; tell whether it is to fail."""
        if not self._watches:
            return False
        self.calls.append(name)
        return len(self.calls) - 1 == self._fails_at

    def sqlite_error(self) -> sqlite3.OperationalError:
        return sqlite3.OperationalError(_SQLITE_SAYS[self._error])

    def _opened(self, path: Path, *args: Any, **options: Any) -> pq.ParquetWriter:
        self.reach("open a Parquet file")
        writer = _PARQUET_WRITER(path, *args, **options)
        for name in ("write_table", "close"):
            setattr(writer, name, self._watched(getattr(writer, name), name))
        return writer

    def reach(self, name: str) -> None:
        """Count a call; raises OSError if it is to fail."""
        if self.fails(name):
            raise OSError(self._error, os.strerror(self._error))

    def _watched(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def watched(*args: Any, **options: Any) -> Any:
            self.reach(name)
            return function(*args, **options)

        return watched


def _connection_class(disk: FaultyDisk) -> type[sqlite3.Connection]:
    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, *values: Any) -> Any:
            if not sql.startswith(("SELECT", "PRAGMA")) and disk.fails(sql.partition(" ")[0]):
                raise disk.sqlite_error()
            return super().execute(sql, *values)

    class Connection(sqlite3.Connection):
        def cursor(self, *args: Any) -> Any:
            return super().cursor(*args or (Cursor,))

        def commit(self) -> None:
            if disk.fails("COMMIT"):
                raise disk.sqlite_error()
            super().commit()
            if disk.fails("answer to COMMIT"):
                raise disk.sqlite_error()

    return Connection
