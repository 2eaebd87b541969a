"""What DuckLake does not keep about data files and delete files, in tables beside its own."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, String
from sqlalchemy import Table as SqlTable

from maxlake.lake import ducklake
from maxlake.lake.database import metadata

#: One row a data file: its size in memory and that of its row groups (JSON; none where there is but one),
#: which splits are balanced by, its partition key in one piece, its bucket, whether its rows came from other
#: files (compaction), and whether they are new values of older rows.
file_detail = SqlTable(
    "maxlake_file",
    metadata,
    Column("data_file_id", BigInteger, primary_key=True, autoincrement=False),
    Column("raw_size", BigInteger, nullable=False),
    Column("key", String, nullable=False),
    Column("bucket", BigInteger),
    Column("groups", String),
    Column("rewrite", Boolean, nullable=False),
    Column("updates", Boolean, nullable=False, default=False),
)

#: One row a delete file of ours: how many of its rows went with it, how many of these were updated, and how
#: many are gone of each row group (JSON; none where there is but one).
delete_detail = SqlTable(
    "maxlake_delete_file",
    metadata,
    Column("delete_file_id", BigInteger, primary_key=True, autoincrement=False),
    Column("added", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("groups", String),
)
Index("maxlake_delete_file_table", ducklake.delete_file.c.table_id, ducklake.delete_file.c.begin_snapshot)
Index("maxlake_delete_file_data", ducklake.delete_file.c.data_file_id)

#: The files scheduled for deletion by us, below the data directory: that no session reads them was checked.
removal = SqlTable("maxlake_removal", metadata, Column("path", String, primary_key=True))
