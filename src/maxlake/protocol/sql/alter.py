"""ALTER TABLE: partitions, columns, the table's name, lifecycle, comment, owner and time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlglot import exp

from maxlake.protocol.sql import nodes
from maxlake.protocol.sql.model import (
    AddColumns,
    AddPartitions,
    AlterTable,
    ChangeColumn,
    DropColumns,
    DropPartitions,
    RenamePartition,
    RenameTable,
    SetComment,
    SetLifecycle,
    SetOwner,
    TableName,
    Touch,
)
from maxlake.protocol.sql.parts import (
    read_column,
    read_columns,
    read_names,
    read_partition_spec,
    read_table_name,
    refuse_repeated,
)
from maxlake.protocol.sql.tree import (
    children,
    read,
    read_name,
    read_positive,
    read_text,
    refuse,
)


def read_alter_table(tree: exp.Alter) -> AlterTable | RenamePartition:
    """Return the statement an ALTER TABLE is; only ADD PARTITION may be given several times."""
    table = read_table_name(tree.this)
    actions = children(tree, "actions")
    if actions and all(isinstance(action, exp.AddPartition) for action in actions):
        return _add_partitions(table, [read(each, exp.AddPartition, "this", "exists") for each in actions])
    if len(actions) != 1:
        refuse(tree, "Expecting one action")
    change = _CHANGES.get(type(actions[0]))
    if change is None:
        refuse(tree, "This change of a table is not supported")
    return change(table, actions[0])


def _add_partitions(table: TableName, added: Sequence[exp.AddPartition]) -> AddPartitions:
    specs = tuple(read_partition_spec(action.this) for action in added)
    return AddPartitions(table, specs, bool(added[0].args.get("exists")))


def _drop_partitions(table: TableName, action: object) -> DropPartitions:
    dropped = read(action, exp.DropPartition, "expressions", "exists")
    specs = tuple(map(read_partition_spec, children(dropped)))
    return DropPartitions(table, specs, bool(dropped.args.get("exists")))


def _rename_partition(table: TableName, action: object) -> RenamePartition:
    renamed = read(action, nodes.RenamePartition, "this", "to")
    old, new = (read_partition_spec(spec) for spec in (renamed.this, renamed.args.get("to")))
    return RenamePartition(table, old, new)


def _rename_table(table: TableName, action: object) -> RenameTable:
    renamed = read(action, exp.AlterRename, "this").this
    name = read_table_name(renamed)
    if name.project is not None:
        refuse(renamed, "The new name of a table is a plain name")
    return RenameTable(table, name.name)


def _add_columns(table: TableName, action: object) -> AddColumns:
    added = read(action, nodes.AddColumns, "this", "exists")
    columns = read_columns(children(read(added.this, exp.Schema, "expressions")))
    if not columns:
        refuse(added, "Expecting columns to add")
    refuse_repeated(added, [column.name for column in columns])
    return AddColumns(table, columns, bool(added.args.get("exists")))


def _drop_columns(table: TableName, action: object) -> DropColumns:
    dropped = read(action, nodes.DropColumns, "expressions")
    names = read_names(dropped)
    refuse_repeated(dropped, names)
    return DropColumns(table, names)


def _change_column(table: TableName, action: object) -> ChangeColumn:
    changed = read(action, nodes.ChangeColumn, "this", "to", "comment", "allow_null", "definition")
    name = read_name(changed.this, "column")
    to, comment, definition = (changed.args.get(part) for part in ("to", "comment", "definition"))
    if to is not None:
        return ChangeColumn(table, name, new_name=read_name(to, "column"))
    if comment is not None:
        return ChangeColumn(table, name, comment=read_text(comment))
    if definition is None:
        return ChangeColumn(table, name, nullable=True)
    return _redefine_column(table, name, read(definition, exp.ColumnDef, "this", "kind", "constraints"))


def _redefine_column(table: TableName, name: str, node: exp.ColumnDef) -> ChangeColumn:
    """Read name and type anew; NOT NULL may be repeated, as PyODPS does, a comment left out stays."""
    new = read_column(node)
    for kind in node.find_all(exp.DefaultColumnConstraint, exp.NotNullColumnConstraint):
        if isinstance(kind, exp.DefaultColumnConstraint):
            refuse(node, "DEFAULT is not supported in CHANGE COLUMN")
        if kind.args.get("allow_null"):
            refuse(node, f"NULL stands alone: CHANGE COLUMN {name} NULL")
    return ChangeColumn(
        table,
        name,
        new_name=new.name,
        type=new.type,
        nullable=None if new.nullable else False,
        comment=new.comment,
    )


def _set(table: TableName, action: object) -> SetLifecycle | SetComment:
    clauses = [
        clause
        for group in children(read(action, exp.AlterSet, "expressions"))
        for clause in children(read(group, exp.Properties, "expressions"))
    ]
    match clauses:
        case [nodes.LifecycleProperty() as clause]:
            return SetLifecycle(table, read_positive(clause.this, "LIFECYCLE"))
        case [exp.SchemaCommentProperty() as clause]:
            return SetComment(table, read_text(clause.this))
        case _:
            return refuse(action, "Only SET LIFECYCLE and SET COMMENT are supported, one at a time")


def _set_owner(table: TableName, action: object) -> SetOwner:
    return SetOwner(table, read_text(read(action, nodes.ChangeOwner, "this").this))


def _touch(table: TableName, action: object) -> Touch:
    partition = read(action, nodes.Touch, "partition").args.get("partition")
    return Touch(table, None if partition is None else read_partition_spec(partition))


_CHANGES: dict[type, Callable[[TableName, object], AlterTable | RenamePartition]] = {
    exp.DropPartition: _drop_partitions,
    nodes.AddColumns: _add_columns,
    nodes.DropColumns: _drop_columns,
    nodes.ChangeColumn: _change_column,
    nodes.ChangeOwner: _set_owner,
    nodes.RenamePartition: _rename_partition,
    nodes.Touch: _touch,
    exp.AlterRename: _rename_table,
    exp.AlterSet: _set,
}
