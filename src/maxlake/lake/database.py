"""The one place where SQLite and PostgreSQL differ: engines, transactions, column types.

A project's catalog, its sessions and its table details live in one database, so that one
transaction changes them together (design.md §4).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    DateTime,
    Dialect,
    Engine,
    MetaData,
    Row,
    String,
    create_engine,
    event,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import NullPool
from sqlalchemy.types import TypeDecorator, TypeEngine

from maxlake.lake.turns import Turns
from maxlake.protocol.errors import BusyError, ConflictError, ErrorCode, InternalError

#: A row of any query.
AnyRow = Row[*tuple[Any, ...]]

#: Tables of the catalog and of everything that shares its transactions.
metadata = MetaData()

#: How long a SQLite writer waits for another process before giving up, in seconds.
BUSY_TIMEOUT = 30
#: Bytes of a name in PostgreSQL, which cuts longer ones off without an error.
MAX_IDENTIFIER = 63
#: Values one ``IN (…)`` is given: old SQLites take 999 parameters.
MAX_PARAMETERS = 500
#: Connections to PostgreSQL a project may hold: one per worker thread is plenty.
POOL_SIZE = 20
#: What SQLite says when the file system fails it.
_DISK_TROUBLE = ("disk I/O error", "disk is full", "unable to open database file", "readonly database")


def chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Cut a list for ``IN (…)``: databases bound the number of parameters of a statement."""
    return (ids[start : start + MAX_PARAMETERS] for start in range(0, len(ids), MAX_PARAMETERS))


class Flag(TypeDecorator[bool]):
    """A boolean; DuckLake declares it BIGINT on SQLite."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type the ``ducklake`` extension itself declares."""
        return dialect.type_descriptor(Boolean() if dialect.name == "postgresql" else BigInteger())

    def process_bind_param(self, value: bool | None, dialect: Dialect) -> bool | int | None:  # type: ignore[override]
        """Store 0 and 1 where there are no booleans."""
        if value is None or dialect.name == "postgresql":
            return value
        return int(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> bool | None:  # noqa: ARG002
        """Return a bool."""
        return None if value is None else bool(value)


class Instant(TypeDecorator[datetime]):
    """A UTC instant with microseconds; DuckLake keeps it as text on SQLite."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type the ``ducklake`` extension itself declares."""
        return dialect.type_descriptor(DateTime(timezone=True) if dialect.name == "postgresql" else String())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:  # type: ignore[override]
        """Write text of fixed width, so that it sorts as the instants do."""
        if value is None or dialect.name == "postgresql":
            return value
        # strftime does not pad years.
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds") + "+00"

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return an aware datetime."""
        if isinstance(value, str):
            value = datetime.fromisoformat(value + ":00" if value[-3] in "+-" else value)
        return None if value is None else value.astimezone(UTC)


class Uuid(TypeDecorator[str]):
    """A UUID as text."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type the ``ducklake`` extension itself declares."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.UUID(as_uuid=False))
        return dialect.type_descriptor(String())


def _busy(what: str) -> BusyError:
    return BusyError(ErrorCode.SERVICE_UNAVAILABLE, f"{what}; try again")


@contextmanager
def _typed_errors() -> Generator[None]:
    """Raise what another moment, another program or the disk is to blame for as such; bugs stay."""
    try:
        yield
    except PoolTimeoutError as error:
        raise _busy("every connection to the catalog is in use") from error
    except IntegrityError as error:
        # Ids of snapshots and files are taken in turns; only a program that takes none gets in between.
        if "ducklake_" in str(error.orig):
            raise ConflictError(
                ErrorCode.COMMIT_CONFLICT, "another program changed the catalog at the same time; repeat"
            ) from error
        raise
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.OperationalError):
            if any(word in str(error.orig) for word in ("locked", "busy")):
                raise _busy("the catalog is locked by another process") from error
            if any(word in str(error.orig) for word in _DISK_TROUBLE):
                raise InternalError(
                    ErrorCode.INTERNAL_SERVER_ERROR,
                    f"the server could not write its catalog ({error.orig}); "
                    "once its disk works and has room, repeat the request",
                ) from error
        elif error.connection_invalidated or isinstance(error, OperationalError | InterfaceError):
            raise _busy("the connection to the catalog failed") from error
        raise


class Database:
    """Transactions on one project's database.

    Both kinds raise :class:`BusyError` when there is no connection, no lock or no turn to be had in time,
    or the connection is lost: then the outcome of a write transaction is unknown.
    """

    def __init__(self, engine: Engine, namespace: str) -> None:
        self.engine = engine
        self._namespace = namespace
        # Threads of one process queue here: SQLite's own waiting is unfair polling, and who waits in
        # PostgreSQL holds a connection that readers need.
        self._turn = Turns()

    @classmethod
    def sqlite(cls, path: Path) -> Database:
        """Open (or create) a SQLite file: WAL, every commit synced."""
        engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT})

        @event.listens_for(engine, "connect")
        def configure(connection: Any, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction]
            connection.isolation_level = None  # we say BEGIN ourselves
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
            connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

        return cls(engine, path.stem)

    @classmethod
    def postgresql(cls, url: str, namespace: str) -> Database:
        """Connect to a PostgreSQL database; ``namespace`` is the schema that holds this project.

        A namespace has no quotes, blanks or backslashes, and at most ``MAX_IDENTIFIER`` bytes.
        """
        engine = create_engine(
            url.replace("postgresql://", "postgresql+psycopg://", 1),
            pool_size=POOL_SIZE,
            pool_pre_ping=True,  # the server may have been restarted since
            connect_args={"options": f'-csearch_path="{namespace}"'},
        )
        with _typed_errors(), engine.begin() as connection:
            connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{namespace}"'))
        return cls(engine, namespace)

    @staticmethod
    def has_namespace(url: str, namespace: str) -> bool:
        """Tell whether a PostgreSQL database holds this project."""
        engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=NullPool)
        schemas = text("SELECT count(*) FROM information_schema.schemata WHERE schema_name = :name")
        with _typed_errors(), engine.connect() as connection:
            return connection.execute(schemas, {"name": namespace}).scalar_one() > 0

    @property
    def _is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Generator[Connection]:
        """Run statements that see one state of the database."""
        options = {} if self._is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with (
            _typed_errors(),
            self.engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def write(self) -> Generator[Connection]:
        """Run one write transaction; writers take turns, so that it never fails half-way for a conflict.

        Raises ``CommitConflict`` when a program that takes no turns changed the catalog meanwhile.
        """
        options = {"begin": "BEGIN IMMEDIATE"} if self._is_sqlite else {}
        with (
            self._in_turn(),
            _typed_errors(),
            self.engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            if not self._is_sqlite:  # other processes
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:n))"), {"n": self._namespace})
            yield connection

    @contextmanager
    def _in_turn(self) -> Generator[None]:
        with ExitStack() as held:
            try:
                held.enter_context(self._turn)
            except TimeoutError as error:
                raise _busy("other changes of this project take too long") from error
            yield

    def create_tables(self) -> None:
        """Create what is missing of the tables in :data:`metadata`."""
        with self.write() as connection:
            metadata.create_all(connection)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
