"""``maxlake tables``: what tables there are."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from maxlake.cli.connection import ENVIRONMENT, Connection, failing, say, tell


def tables(
    prefix: str = "",
    *,
    schema: str | None = None,
    columns: bool = False,
    json: bool = False,
    connection: Connection = ENVIRONMENT,
) -> None:
    """List the tables whose names begin with PREFIX.

    Parameters
    ----------
    prefix
        How the names begin.
    schema
        Schema of the tables; the default one if not given.
    columns
        Also list their columns, which takes a request for each table.
    json
        Write a JSON object a line for each table.
    """
    with failing("tables"):
        for table in connection.odps().list_tables(prefix=prefix or None, schema=schema):
            if json:
                tell({"table": table.name, **(_described(table) if columns else {})})
            elif columns:
                _show(table)
            else:
                say(table.name)


def _described(table: Any) -> dict[str, Any]:
    schema = table.table_schema
    return {
        "columns": {column.name: str(column.type).lower() for column in schema.simple_columns},
        "partitions": {column.name: str(column.type).lower() for column in schema.partitions},
        "primary_key": list(table.primary_key or ()),
    }


def _show(table: Any) -> None:
    described = _described(table)
    shown = Table("column", "type", "", title=table.name, title_justify="left")
    for kind in ("columns", "partitions"):
        for name, type_text in described[kind].items():
            key = "primary key" if name in described["primary_key"] else ""
            shown.add_row(name, type_text, "partition" if kind == "partitions" else key)
    Console().print(shown)
