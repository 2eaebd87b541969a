"""DESC and SHOW."""

from __future__ import annotations

from maxlake.protocol.sql import nodes
from maxlake.protocol.sql.model import (
    DescribeTable,
    Question,
    ShowCreateTable,
    ShowPartitions,
    ShowSchemas,
    ShowTables,
)
from maxlake.protocol.sql.parts import read_partition_spec, read_table_name
from maxlake.protocol.sql.tree import read, read_name, read_text


def read_question(tree: nodes.DescribeTable | nodes.Show) -> Question:
    """Return the statement a DESC or SHOW is."""
    partition = tree.args.get("partition")
    spec = None if partition is None else read_partition_spec(partition)
    if isinstance(tree, nodes.DescribeTable):
        read(tree, nodes.DescribeTable, "this", "partition", "extended")
        return DescribeTable(read_table_name(tree.this), spec, bool(tree.args.get("extended")))
    read(tree, nodes.Show, "what", "this", "partition", "db", "pattern")
    match tree.args["what"]:
        case "tables":
            schema, pattern = tree.args.get("db"), tree.args.get("pattern")
            return ShowTables(
                None if schema is None else read_name(schema, "schema"),
                None if pattern is None else read_text(pattern),
            )
        case "schemas":
            return ShowSchemas()
        case "partitions":
            return ShowPartitions(read_table_name(tree.this), spec)
        case _:
            return ShowCreateTable(read_table_name(tree.this))
