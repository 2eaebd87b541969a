"""One project's tables: its database and its data directory."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import delete, insert, select

from maxlake.lake import blob_key, catalog_format, definitions, ducklake, durable, snapshots
from maxlake.lake.blob_store import BlobStore
from maxlake.lake.database import Database
from maxlake.lake.file_lists import FileLists
from maxlake.lake.pruning import FileBounds
from maxlake.lake.snapshots import Snapshot, new_uuid, quoted
from maxlake.lake.tables import Table
from maxlake.lake.turns import Turns, directory_turn
from maxlake.protocol.errors import BusyError, ErrorCode
from maxlake.protocol.limits import UPSERT_TURN_WAIT
from maxlake.protocol.targets import DEFAULT_SCHEMA

#: Key of the time at which a catalog was made: no file that is older was left behind by its uploads.
CREATED_AT = "maxlake_created_at"
#: The option by which other programs write and delete rows in files, where we look for them.
NO_INLINING = ("data_inlining_row_limit", "0")

#: The blobs of a project, beside the data directory; made when there are some.
BLOBS_DIRECTORY = "blobs"


class Lake:
    """A DuckLake 1.0 catalog we write ourselves, the Parquet files it names, and the blobs these refer to.

    ``blob_key`` signs references to blobs.
    """

    def __init__(self, database: Database, data: Path) -> None:
        self.database = database
        self.data = data
        self.blobs = BlobStore(data.parent / BLOBS_DIRECTORY)
        self.blob_key = b""
        self.file_lists = FileLists()
        self.file_bounds = FileBounds()
        self._upserts: dict[int, Turns] = {}

    @classmethod
    def open(cls, database: Database, data: Path) -> Lake:
        """Open a project's tables; create the catalog on first use.

        Raises ``CatalogFormat`` for one that another build made and this one cannot read. What fails closes
        the database.
        """
        with ExitStack() as undo:
            undo.callback(database.close)
            with database.read() as connection:
                catalog_format.check(connection, data.parent.name)
            durable.make_directory(data, within=data.parent)
            database.create_tables()
            lake = cls(database, data)
            lake._initialize()
            undo.pop_all()
        return lake

    def _initialize(self) -> None:
        metadata = ducklake.catalog_metadata
        data_path = f"{self.data}/"
        with self.database.write() as connection:
            snapshots.begin_history(connection)
            definitions.forget_bounds(connection)
            self.blob_key = blob_key.load(connection)
            known = connection.execute(
                select(metadata.c.value).where(metadata.c.key == "data_path")
            ).scalar_one_or_none()
            if known is not None:
                # The project directory may have been moved, and other programs change options.
                for key, value in (("data_path", data_path), NO_INLINING):
                    connection.execute(delete(metadata).where(metadata.c.key == key))
                    connection.execute(insert(metadata).values(key=key, value=value))
                return
            connection.execute(
                insert(metadata),
                [
                    {"key": "version", "value": ducklake.VERSION},
                    {"key": catalog_format.FORMAT_KEY, "value": str(catalog_format.FORMAT)},
                    {"key": "created_by", "value": "maxlake"},
                    {"key": "data_path", "value": data_path},
                    {"key": "encrypted", "value": "false"},
                    {"key": NO_INLINING[0], "value": NO_INLINING[1]},
                    {"key": CREATED_AT, "value": datetime.now(UTC).isoformat()},
                ],
            )
            # DuckDB looks for the schema "main" when it attaches; ODPS tables live in "default".
            names = ("main", DEFAULT_SCHEMA)
            for schema_id, name in enumerate(names):
                connection.execute(
                    insert(ducklake.schema).values(
                        schema_id=schema_id,
                        schema_uuid=new_uuid(),
                        begin_snapshot=0,
                        schema_name=name,
                        path=f"{name}/",
                        path_is_relative=True,
                    )
                )
            Snapshot(
                snapshot_id=0,
                time=datetime.now(UTC),
                schema_version=0,
                next_catalog_id=len(names),
                next_file_id=0,
                changes=[f"created_schema:{quoted(name)}" for name in names],
            ).save(connection)

    @contextmanager
    def upserting(self, table: Table) -> Generator[None]:
        """Take a turn among those who replace rows of a table, one at a time.

        What they compute is in vain if the rows change meanwhile: of two processes one might never come
        first. Raises ``BusyError`` after a long wait.
        """
        turns = self._upserts.setdefault(table.table_id, Turns(UPSERT_TURN_WAIT))
        with ExitStack() as held:
            try:
                held.enter_context(turns)
            except TimeoutError as error:
                raise BusyError(
                    ErrorCode.SERVICE_UNAVAILABLE,
                    "other upserts of this table take too long; try again",
                    where=table.full_name,
                ) from error
            directory = self.data / table.path
            directory.mkdir(parents=True, exist_ok=True)
            held.enter_context(directory_turn(directory))
            yield

    def close(self) -> None:
        """Release the database and every file."""
        self.blobs.close()
        self.database.close()
