"""DESC and SHOW: what is known of tables, as text."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from sqlalchemy import Connection

from maxlake.lake import partitions, tables
from maxlake.lake.tables import Table
from maxlake.protocol.columns import Column
from maxlake.protocol.errors import ErrorCode, NotFoundError
from maxlake.protocol.limits import MAX_TEXT_ROWS
from maxlake.protocol.partitions import PartitionSpec, resolve
from maxlake.protocol.sql import model
from maxlake.service.sql_session import Session

_LINE = "+" + "-" * 84 + "+"
_WIDTH = 82


def answer(connection: Connection, session: Session, question: model.Question) -> str:
    """Return the text of an answer. Raises ``NoSuchTable``, ``NoSuchSchema`` and ``NoSuchPartition``."""
    match question:
        case model.DescribeTable():
            table = session.get(connection, question.table)
            if question.partition is not None:
                return _partition(connection, table, question.partition)
            return _described(connection, session, table)
        case model.ShowCreateTable():
            return _definition(session, session.get(connection, question.table))
        case model.ShowPartitions():
            table = session.get(connection, question.table)
            return _lines(
                "/".join(f"{k}={v}" for k, v in found.values.items())
                for found in _matching(connection, table, question.partition)
            )
        case model.ShowTables():
            schema = question.schema or session.default_schema
            found = tables.list_tables(connection, schema, limit=MAX_TEXT_ROWS)
            pattern = (question.pattern or "*").lower().replace("%", "*")
            return _lines(f"{each.owner}:{each.name}" for each in found if fnmatchcase(each.name, pattern))
        case model.ShowSchemas():
            return _lines(tables.list_schemas(connection))


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _matching(connection: Connection, table: Table, spec: PartitionSpec | None) -> list[partitions.Partition]:
    values = resolve(spec or PartitionSpec(), table.partition_keys, complete=False)
    wanted = partitions.canonical(table, values)
    living = partitions.list_partitions(connection, table)
    return [each for each in living if wanted.items() <= dict(each.values).items()]


def _partition(connection: Connection, table: Table, spec: PartitionSpec) -> str:
    resolve(spec, table.partition_keys, complete=True)
    found = _matching(connection, table, spec)
    if not found:
        raise NotFoundError(
            ErrorCode.NO_SUCH_PARTITION, f"partition {spec} does not exist", where=table.full_name
        )
    return _boxed(
        [
            f"PartitionSize: {found[0].size}",
            f"CreateTime: {found[0].created_at:%F %T}",
            f"LastModifiedTime: {found[0].modified_at:%F %T}",
            f"RecordNum: {found[0].record_count}",
        ]
    )


def _boxed(*groups: list[str]) -> str:
    lines = [_LINE]
    for group in groups:
        lines += [f"| {line:<{_WIDTH}} |" for line in group]
        lines.append(_LINE)
    return _lines(lines)


def _described(connection: Connection, session: Session, table: Table) -> str:
    size = tables.size(connection, table.table_id)
    about = [
        f"Owner: {table.owner} | Project: {session.project.name}",
        f"TableComment: {table.options.comment}",
        f"CreateTime: {table.created_at:%F %T}",
        f"LastDDLTime: {table.ddl_at:%F %T}",
        f"LastModifiedTime: {table.modified_at:%F %T}",
    ]
    if table.options.lifecycle is not None:
        about.append(f"Lifecycle: {table.options.lifecycle}")
    kind = [f"InternalTable: YES | Size: {size.bytes} | Records: {size.record_count}"]
    groups = [about, kind, ["Native Columns:"], ["Field | Type | Label | Comment"]]
    groups.append(list(map(_column_line, table.columns.columns)))
    if table.partition_keys:
        groups += [["Partition Columns:"], list(map(_column_line, table.columns.partition_columns))]
    return _boxed(*groups)


def _column_line(column: Column) -> str:
    return f"{column.name} | {column.type} | | {column.comment}"


def _definition(session: Session, table: Table) -> str:
    """Return the statement that makes a table like this one."""
    name = f"`{session.project.name}`.`{table.schema}`.`{table.name}`"
    columns = [_column_definition(column) for column in table.columns.columns]
    if table.options.primary_key:
        columns.append(f"PRIMARY KEY ({_names(table.options.primary_key)})")
    text = f"CREATE TABLE IF NOT EXISTS {name} (\n  " + ",\n  ".join(columns) + "\n)"
    if table.options.comment:
        text += f"\nCOMMENT {_quoted(table.options.comment)}"
    if table.partition_keys:
        keys = map(_column_definition, table.columns.partition_columns)
        text += "\nPARTITIONED BY (\n  " + ",\n  ".join(keys) + "\n)"
    if table.options.buckets:
        text += f"\nCLUSTERED BY ({_names(table.options.clustered_by)})"
        if table.options.sorted_by:
            text += f" SORTED BY ({_names(table.options.sorted_by)})"
        text += f" INTO {table.options.buckets} BUCKETS"
    if table.options.properties:
        pairs = (f"{_quoted(key)}={_quoted(value)}" for key, value in table.options.properties.items())
        text += f"\nTBLPROPERTIES ({', '.join(pairs)})"
    if table.options.lifecycle is not None:
        text += f"\nLIFECYCLE {table.options.lifecycle}"
    return f"{text};\n"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def _column_definition(column: Column) -> str:
    text = f"`{column.name}` {str(column.type).upper()}"
    text += "" if column.nullable else " NOT NULL"
    text += "" if column.default is None else f" DEFAULT {_quoted(str(column.default))}"
    return text + (f" COMMENT {_quoted(column.comment)}" if column.comment else "")
