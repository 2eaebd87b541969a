"""Statements that define tables, each in one transaction (rest.md §6.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import Connection

from maxlake.lake import commits, definitions, evolution, partitions
from maxlake.lake.partitions import PartitionKey
from maxlake.lake.tables import Table, TableOptions
from maxlake.protocol.columns import Column, TableSchema
from maxlake.protocol.errors import ConflictError, ErrorCode, NotFoundError
from maxlake.protocol.partitions import PartitionSpec
from maxlake.protocol.sql import model
from maxlake.service import sql_targets
from maxlake.service.sql_session import Session


def run(connection: Connection, session: Session, statement: model.Definition) -> None:
    """Run one statement in the caller's transaction. Raises the catalog's errors."""
    _Runner(connection, session).run(statement)


class _Runner:
    """One statement in one transaction."""

    def __init__(self, connection: Connection, session: Session) -> None:
        self._connection = connection
        self._session = session

    def run(self, statement: model.Definition) -> None:
        match statement:
            case model.CreateTable():
                self._create_table(statement)
            case model.CreateTableLike():
                self._create_table_like(statement)
            case model.TruncateTable():
                self._truncate(statement, self._get(statement.table))
            case model.DropTable():
                self._drop_table(statement)
            case model.CreateSchema():
                tolerated = ErrorCode.ALREADY_EXISTS if statement.if_not_exists else None
                self._tolerating(
                    tolerated, lambda: definitions.create_schema(self._connection, statement.schema.name)
                )
            case model.DropSchema():
                tolerated = ErrorCode.NO_SUCH_SCHEMA if statement.if_exists else None
                self._tolerating(
                    tolerated, lambda: definitions.drop_schema(self._connection, statement.schema.name)
                )
            case _:
                self._alter_table(statement, self._get(statement.table))

    def _alter_table(self, statement: model.AlterTable, table: Table) -> None:
        match statement:
            case model.AddPartitions():
                self._add_partitions(statement, table)
            case model.DropPartitions():
                self._drop_partitions(statement, table)
            case model.AddColumns():
                self._add_columns(statement, table)
            case model.DropColumns():
                evolution.drop_columns(self._connection, table, statement.names)
            case model.ChangeColumn():
                self._change_column(statement, table)
            case model.RenameTable():
                evolution.rename_table(self._connection, table, statement.new_name)
            case model.SetComment():
                self._set_options(table, comment=statement.comment)
            case model.SetLifecycle():
                self._set_options(table, lifecycle=statement.lifecycle)
            case model.SetOwner():
                definitions.set_owner(self._connection, table, statement.owner)
            case model.Touch():
                self._touch(table, statement.partition)

    def _tolerating(self, tolerated: ErrorCode | None, change: Callable[[], None]) -> None:
        """Run a change; with IF [NOT] EXISTS, what is there (or gone) already is fine."""
        try:
            change()
        except (ConflictError, NotFoundError) as error:
            if error.code is not tolerated:
                raise

    def _find(self, name: model.TableName) -> Table | None:
        return self._session.find(self._connection, name)

    def _get(self, name: model.TableName) -> Table:
        return self._session.get(self._connection, name)

    def _create_table(self, statement: model.CreateTable) -> None:
        if statement.if_not_exists and self._find(statement.table):
            return
        definitions.create_table(
            self._connection,
            self._session.schema_of(statement.table),
            statement.table.name,
            TableSchema(_columns(statement.columns), _columns(statement.partition_columns)),
            TableOptions(
                comment=statement.comment or "",
                lifecycle=statement.lifecycle,
                properties=dict(statement.properties),
                primary_key=statement.primary_key,
                clustered_by=statement.clustered_by,
                sorted_by=tuple(key.name for key in statement.sorted_by),
                buckets=statement.buckets,
            ),
            self._session.principal,
        )

    def _create_table_like(self, statement: model.CreateTableLike) -> None:
        if statement.if_not_exists and self._find(statement.table):
            return
        like = self._get(statement.like)
        definitions.create_table(
            self._connection,
            self._session.schema_of(statement.table),
            statement.table.name,
            like.columns,
            msgspec.structs.replace(like.options, lifecycle=statement.lifecycle),
            self._session.principal,
        )

    def _truncate(self, statement: model.TruncateTable, table: Table) -> None:
        """Replace the rows by none; partitions stay."""
        if statement.specs:
            keys = self._keys(table, statement.specs)
            self._check_exist(table, keys)
        elif table.partition_keys:
            living = partitions.list_partitions(self._connection, table)
            keys = [tuple(partition.values.values()) for partition in living]
        else:
            keys = [()]
        commits.commit(self._connection, table, [], replaced=keys)

    def _touch(self, table: Table, spec: PartitionSpec | None) -> None:
        keys = [] if spec is None else self._keys(table, [spec])
        self._check_exist(table, keys)
        definitions.touch(self._connection, table, keys)

    def _check_exist(self, table: Table, keys: Sequence[PartitionKey]) -> None:
        for key in keys:
            sql_targets.check_exists(self._connection, table, key)

    def _drop_table(self, statement: model.DropTable) -> None:
        table = self._find(statement.table)
        if table is not None:
            definitions.drop_table(self._connection, table)
        elif not statement.if_exists:
            self._get(statement.table)

    def _set_options(self, table: Table, **changes: object) -> None:
        definitions.set_options(self._connection, table, msgspec.structs.replace(table.options, **changes))

    def _keys(self, table: Table, specs: Sequence[PartitionSpec]) -> list[PartitionKey]:
        return [sql_targets.partition_key(table, spec) for spec in specs]

    def _add_partitions(self, statement: model.AddPartitions, table: Table) -> None:
        keys = self._keys(table, statement.specs)
        if statement.if_not_exists:
            keys = [key for key in keys if not partitions.exists(self._connection, table, key)]
        else:
            for key in keys:
                sql_targets.check_new(self._connection, table, key)
        if keys:
            commits.add_partitions(self._connection, table, keys)

    def _drop_partitions(self, statement: model.DropPartitions, table: Table) -> None:
        keys = self._keys(table, statement.specs)
        if not statement.if_exists:
            self._check_exist(table, keys)
        known = [key for key in keys if partitions.exists(self._connection, table, key)]
        if known:
            commits.drop_partitions(self._connection, table, known)

    def _add_columns(self, statement: model.AddColumns, table: Table) -> None:
        columns = _columns(statement.columns)
        if statement.if_not_exists:
            known = {column.name.lower() for column in table.columns.all_columns}
            columns = tuple(column for column in columns if column.name.lower() not in known)
        if columns:
            evolution.add_columns(self._connection, table, columns)

    def _change_column(self, statement: model.ChangeColumn, table: Table) -> None:
        evolution.change_column(
            self._connection,
            table,
            statement.name,
            new_name=statement.new_name,
            new_type=statement.type,
            nullable=statement.nullable,
            comment=statement.comment,
        )


def _columns(definitions_: Sequence[model.ColumnDefinition]) -> tuple[Column, ...]:
    return tuple(
        Column(
            name=column.name,
            type=column.type,
            nullable=column.nullable,
            comment=column.comment or "",
            default=column.default,
        )
        for column in definitions_
    )
