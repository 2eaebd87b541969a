"""The tables of a DuckLake 1.0 catalog, as the specification's "Tables" pages list them.

Column types are those DuckDB's ``ducklake`` extension declares itself, so that it can attach what we write.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String, Table

from maxlake.lake.database import Flag, Instant, Uuid, metadata

VERSION = "1.0"


def _table(name: str, *columns: Column[object]) -> Table:
    return Table(f"ducklake_{name}", metadata, *columns)


def _id(name: str, *, primary_key: bool = False) -> Column[object]:
    return Column(name, BigInteger, primary_key=primary_key, autoincrement=False)


def _text(name: str) -> Column[object]:
    return Column(name, String)


def _lifetime() -> tuple[Column[object], Column[object]]:
    return Column("begin_snapshot", BigInteger), Column("end_snapshot", BigInteger)


catalog_metadata = _table(
    "metadata",
    Column("key", String, nullable=False),
    Column("value", String, nullable=False),
    _text("scope"),
    _id("scope_id"),
)
snapshot = _table(
    "snapshot",
    _id("snapshot_id", primary_key=True),
    Column("snapshot_time", Instant),
    _id("schema_version"),
    _id("next_catalog_id"),
    _id("next_file_id"),
)
snapshot_changes = _table(
    "snapshot_changes",
    _id("snapshot_id", primary_key=True),
    _text("changes_made"),
    _text("author"),
    _text("commit_message"),
    _text("commit_extra_info"),
)
schema = _table(
    "schema",
    _id("schema_id", primary_key=True),
    Column("schema_uuid", Uuid),
    *_lifetime(),
    _text("schema_name"),
    _text("path"),
    Column("path_is_relative", Flag),
)
table = _table(
    "table",
    _id("table_id"),
    Column("table_uuid", Uuid),
    *_lifetime(),
    _id("schema_id"),
    _text("table_name"),
    _text("path"),
    Column("path_is_relative", Flag),
)
view = _table(
    "view",
    _id("view_id"),
    Column("view_uuid", Uuid),
    *_lifetime(),
    _id("schema_id"),
    _text("view_name"),
    _text("dialect"),
    _text("sql"),
    _text("column_aliases"),
)
tag = _table("tag", _id("object_id"), *_lifetime(), _text("key"), _text("value"))
column_tag = _table(
    "column_tag", _id("table_id"), _id("column_id"), *_lifetime(), _text("key"), _text("value")
)
column = _table(
    "column",
    _id("column_id"),
    *_lifetime(),
    _id("table_id"),
    _id("column_order"),
    _text("column_name"),
    _text("column_type"),
    _text("initial_default"),
    _text("default_value"),
    Column("nulls_allowed", Flag),
    _id("parent_column"),
    _text("default_value_type"),
    _text("default_value_dialect"),
)
data_file = _table(
    "data_file",
    _id("data_file_id", primary_key=True),
    _id("table_id"),
    *_lifetime(),
    _id("file_order"),
    _text("path"),
    Column("path_is_relative", Flag),
    _text("file_format"),
    _id("record_count"),
    _id("file_size_bytes"),
    _id("footer_size"),
    _id("row_id_start"),
    _id("partition_id"),
    _text("encryption_key"),
    _id("mapping_id"),
    _id("partial_max"),
)
delete_file = _table(
    "delete_file",
    _id("delete_file_id", primary_key=True),
    _id("table_id"),
    *_lifetime(),
    _id("data_file_id"),
    _text("path"),
    Column("path_is_relative", Flag),
    _text("format"),
    _id("delete_count"),
    _id("file_size_bytes"),
    _id("footer_size"),
    _text("encryption_key"),
    _id("partial_max"),
)
file_column_stats = _table(
    "file_column_stats",
    _id("data_file_id"),
    _id("table_id"),
    _id("column_id"),
    _id("column_size_bytes"),
    _id("value_count"),
    _id("null_count"),
    _text("min_value"),
    _text("max_value"),
    Column("contains_nan", Flag),
    _text("extra_stats"),
)
file_variant_stats = _table(
    "file_variant_stats",
    _id("data_file_id"),
    _id("table_id"),
    _id("column_id"),
    _text("variant_path"),
    _text("shredded_type"),
    _id("column_size_bytes"),
    _id("value_count"),
    _id("null_count"),
    _text("min_value"),
    _text("max_value"),
    Column("contains_nan", Flag),
    _text("extra_stats"),
)
table_stats = _table(
    "table_stats", _id("table_id"), _id("record_count"), _id("next_row_id"), _id("file_size_bytes")
)
table_column_stats = _table(
    "table_column_stats",
    _id("table_id"),
    _id("column_id"),
    Column("contains_null", Flag),
    Column("contains_nan", Flag),
    _text("min_value"),
    _text("max_value"),
    _text("extra_stats"),
)
partition_info = _table("partition_info", _id("partition_id"), _id("table_id"), *_lifetime())
partition_column = _table(
    "partition_column",
    _id("partition_id"),
    _id("table_id"),
    _id("partition_key_index"),
    _id("column_id"),
    _text("transform"),
)
file_partition_value = _table(
    "file_partition_value",
    _id("data_file_id"),
    _id("table_id"),
    _id("partition_key_index"),
    _text("partition_value"),
)
files_scheduled_for_deletion = _table(
    "files_scheduled_for_deletion",
    _id("data_file_id"),
    _text("path"),
    Column("path_is_relative", Flag),
    Column("schedule_start", Instant),
)
inlined_data_tables = _table(
    "inlined_data_tables", _id("table_id"), _text("table_name"), _id("schema_version")
)
column_mapping = _table("column_mapping", _id("mapping_id"), _id("table_id"), _text("type"))
name_mapping = _table(
    "name_mapping",
    _id("mapping_id"),
    _id("column_id"),
    _text("source_name"),
    _id("target_field_id"),
    _id("parent_column"),
    Column("is_partition", Flag),
)
schema_versions = _table("schema_versions", _id("begin_snapshot"), _id("schema_version"), _id("table_id"))
macro = _table("macro", _id("schema_id"), _id("macro_id"), _text("macro_name"), *_lifetime())
macro_impl = _table(
    "macro_impl", _id("macro_id"), _id("impl_id"), _text("dialect"), _text("sql"), _text("type")
)
macro_parameters = _table(
    "macro_parameters",
    _id("macro_id"),
    _id("impl_id"),
    _id("column_id"),
    _text("parameter_name"),
    _text("parameter_type"),
    _text("default_value"),
    _text("default_value_type"),
)
sort_info = _table("sort_info", _id("sort_id"), _id("table_id"), *_lifetime())
sort_expression = _table(
    "sort_expression",
    _id("sort_id"),
    _id("table_id"),
    _id("sort_key_index"),
    _text("expression"),
    _text("dialect"),
    _text("sort_direction"),
    _text("null_order"),
)
