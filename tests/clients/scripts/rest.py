"""What the entry objects of PyODPS do with the server over REST, the same in every release."""

import datetime
import decimal

from behaviours import behaviour, refused, same
from odps.models import TableSchema
from odps.types import Column, Partition

from odps import errors


def made(context, partitions="pt string", **options):
    odps = context.server.odps()
    columns = "id bigint, name string"
    odps.create_table(context.table, (columns, partitions) if partitions else columns, **options)
    return odps, odps.get_table(context.table)


def failed_statement(context, call, mention):
    """Assert that a statement is refused as invalid; 0.13.0 has no class for that code."""
    error_class = errors.ODPSError if context.client == "v2" else errors.InvalidArgument
    refused(error_class, call, code="ODPS-0420411", mention=mention)


@behaviour()
def project(context):
    odps = context.server.odps()
    found = odps.get_project()
    found.reload()
    same(found.name, context.server.project)
    assert found.owner
    assert found.creation_time
    assert odps.exist_project(context.server.project)
    assert not odps.exist_project("no_such_project")
    refused(errors.NoSuchProject, odps.get_project("no_such_project").reload)


@behaviour()
def wrong_key_over_rest(context):
    odps = context.server.odps(secret="wrong")
    same(refused(errors.SignatureNotMatch, odps.get_table("t").reload).status_code, 401)


@behaviour()
def table_of_a_schema_object(context):
    odps = context.server.odps()
    schema = TableSchema(
        columns=[
            Column("id", "bigint", comment='the number\'s "id"'),
            Column("Name", "array<struct<a:int,b:map<string,decimal(10,2)>>>", comment="Größe"),
        ],
        partitions=[Partition("pt", "string", comment="day")],
    )
    odps.create_table(context.table, schema, comment="a 'table'; of\nlines", lifecycle=7)
    table = odps.get_table(context.table)
    table.reload()
    same((table.comment, table.lifecycle, table.name), ("a 'table'; of\nlines", 7, context.table))
    same(table.project.name, context.server.project)
    id_, name = table.table_schema.simple_columns
    same((id_.name, id_.type.name, id_.comment), ("id", "bigint", 'the number\'s "id"'))
    same((name.name.lower(), name.comment), ("name", "Größe"))
    same(name.type, schema["Name"].type)
    (pt,) = table.table_schema.partitions
    same((pt.name, pt.type.name, pt.comment), ("pt", "string", "day"))
    assert table.creation_time
    assert table.last_data_modified_time
    assert table.owner
    assert not table.is_virtual_view
    same(table.is_transactional, False)


@behaviour()
def not_null_and_defaults(context):
    odps = context.server.odps()
    schema = TableSchema(columns=[Column("a", "bigint", nullable=False), Column("b", "string")])
    odps.create_table(context.table, schema)
    a, b = odps.get_table(context.table).table_schema.columns
    same((a.nullable, b.nullable), (False, True))


@behaviour()
def tables(context):
    odps, table = made(context)
    assert odps.exist_table(context.table)
    assert odps.exist_table(context.table.upper())
    assert not odps.exist_table("no_such_table")
    odps.create_table(f"{context.table}_2", "id bigint")
    listed = [each.name for each in odps.list_tables(prefix=context.table)]
    same(listed, [context.table, f"{context.table}_2"])
    assert set(listed) <= {each.name for each in odps.list_tables()}
    same(list(odps.list_tables(prefix="no_such")), [])
    table.drop()
    assert not odps.exist_table(context.table)
    refused(errors.NoSuchTable, table.reload)
    odps.delete_table(context.table, if_exists=True)
    refused(errors.NoSuchTable, lambda: odps.delete_table(context.table))


@behaviour()
def table_that_exists(context):
    odps, _ = made(context)
    create = lambda: odps.create_table(context.table, "other string")  # noqa: E731
    refused(errors.ODPSError, create, mention="exists")
    odps.create_table(context.table, "other string", if_not_exists=True)
    same([each.name for each in odps.get_table(context.table).table_schema.columns], ["id", "name", "pt"])


@behaviour()
def tables_dropped_and_made_again(context):
    odps, _ = made(context)
    odps.delete_table(context.table)
    odps.create_table(context.table, "other string")
    same([each.name for each in odps.get_table(context.table).table_schema.columns], ["other"])


@behaviour()
def partitions(context):
    odps, table = made(context, "pt string, n bigint")
    assert not table.exist_partition("pt=a,n=1")
    table.create_partition("pt=a,n=1")
    table.create_partition("pt='a',n=2")
    table.create_partition("pt=b c,n=1", if_not_exists=True)
    table.create_partition("pt=b c,n=1", if_not_exists=True)
    refused(errors.ODPSError, lambda: table.create_partition("pt=a,n=1"), mention="exists")
    assert table.exist_partition("pt=a,n=1")
    same([each.name for each in table.partitions], ["pt='a',n='1'", "pt='a',n='2'", "pt='b c',n='1'"])
    same([each.name for each in table.iterate_partitions("pt=a")], ["pt='a',n='1'", "pt='a',n='2'"])
    assert table.exist_partitions("pt=a")
    assert not table.exist_partitions("pt=z")
    found = table.get_partition("pt=a,n=2")
    same((found.size, found.record_num), (0, 0))
    assert found.creation_time
    table.delete_partition("pt=a,n=1")
    assert not table.exist_partition("pt=a,n=1")
    table.delete_partition("pt=a,n=1", if_exists=True)
    failed_statement(context, lambda: table.delete_partition("pt=a,n=1"), mention="does not exist")
    refused(errors.NoSuchPartition, lambda: table.get_partition("pt=a,n=1").reload())
    failed_statement(context, lambda: table.create_partition("nokey=1"), mention="nokey")
    odps.get_table(context.table).drop()


@behaviour()
def first_rows(context):
    """`head`, which reads CSV over REST where it cannot preview."""
    odps = context.server.odps()
    columns = "id bigint, t string, d double, b boolean, at datetime, n decimal(10,2), l array<bigint>"
    table = odps.create_table(context.table, (columns, "pt string"))
    same(list(table.head(3)), [])
    values = "1, 'Größe \\n\"1\"', 1.5, true, datetime'2020-01-02 03:04:05', 2.5, array(1, 2)"
    odps.execute_sql(f"insert into {context.table} partition (pt='a') select {values}")
    nothing = ", ".join(["null"] * 6)
    odps.execute_sql(f"insert into {context.table} partition (pt='b') select 2, {nothing}")
    first = [record.values[:7] for record in table._head_by_data(1)]
    at, number = datetime.datetime(2020, 1, 2, 3, 4, 5), decimal.Decimal("2.5")
    same(first, [[1, 'Größe \n"1"', 1.5, True, at, number, [1, 2]]])
    same(len(list(table.head(9))), 2)
    (only,) = table._head_by_data(9, partition="pt='b'", columns=["t", "id"])
    same((only["id"], only["t"]), (2, None))
    refused(errors.InvalidArgument, lambda: table._head_by_data(1, partition="nokey=1"), mention="nokey")


@behaviour()
def tables_given_away_and_touched(context):
    odps, table = made(context)
    table.create_partition("pt=a")
    table.set_owner("it's me")
    same(odps.get_table(context.table).owner, "it's me")
    table.touch("pt=a")
    table.touch()
    failed_statement(context, lambda: table.touch("pt=z"), mention="does not exist")


@behaviour()
def partitions_renamed(context):
    odps, table = made(context)
    odps.execute_sql(f"insert into {context.table} partition (pt='a') values (1, 'x')")
    table.change_partition_spec("pt=a", "pt=b")
    same([partition.partition_spec["pt"] for partition in table.partitions], ["b"])
    same([record["id"] for record in table.head(9, partition="pt=b")], [1])
    failed_statement(context, lambda: table.change_partition_spec("pt=a", "pt=c"), mention="does not exist")
    refused(errors.ParseError, lambda: table.set_cluster_info(None), mention="Create another table")


@behaviour()
def pages_of_partitions(context):
    """More partitions than one answer lists."""
    _, table = made(context)
    specs = "".join(f" PARTITION (pt='{number:04}')" for number in range(1005))
    context.server.odps().execute_sql(f"ALTER TABLE {context.table} ADD{specs}")
    same([each.partition_spec["pt"] for each in table.partitions], [f"{number:04}" for number in range(1005)])


@behaviour()
def statements(context):
    odps, _ = made(context, None)
    done = odps.execute_sql(f"ALTER TABLE {context.table} SET COMMENT 'new'")
    assert done.is_successful()
    assert odps.exist_instance(done.id)
    assert not odps.exist_instance("no_such_instance")
    same(odps.get_table(context.table).comment, "new")
    odps.execute_sql(f"ALTER TABLE {context.table} SET LIFECYCLE 3;")
    same(odps.get_table(context.table).lifecycle, 3)
    started = odps.run_sql(f"DROP TABLE {context.table}")
    started.wait_for_success()
    assert not odps.exist_table(context.table)


@behaviour()
def statements_that_fail(context):
    odps = context.server.odps()
    refused(errors.ParseError, lambda: odps.execute_sql("CREATE TABEL t (id bigint)"), mention="ODPS-0130161")
    refused(errors.ParseError, lambda: odps.create_table("t_bad", "id no_such_type"))
    refused(errors.NoSuchTable, lambda: odps.execute_sql("DROP TABLE no_such_table"), mention="no_such_table")
    elsewhere = lambda: odps.execute_sql("CREATE TABLE no_such_project.t (id bigint)")  # noqa: E731
    failed_statement(context, elsewhere, mention="no_such_project")


@behaviour()
def schemas(context):
    name = f"{context.client}_schema"
    odps = context.server.odps()
    odps.execute_sql(f"CREATE SCHEMA {name}")
    odps.execute_sql(f"CREATE SCHEMA IF NOT EXISTS {name}")
    refused(errors.ODPSError, lambda: odps.execute_sql(f"CREATE SCHEMA {name}"), mention="exists")
    inside = context.server.odps(schema=name)
    inside.create_table("t", "id bigint")
    assert inside.exist_table("t")
    same(inside.get_table("t").get_schema().name, name)
    assert not odps.exist_table("t")
    same([each.name for each in inside.list_tables()], ["t"])
    drop = f"DROP SCHEMA IF EXISTS {name}"
    failed_statement(context, lambda: odps.execute_sql(drop), mention="tables")
    inside.delete_table("t")
    odps.execute_sql(drop)
    odps.execute_sql(drop)
    refused(errors.NoSuchTable, lambda: odps.execute_sql(f"DROP SCHEMA {name}"), mention=name)


@behaviour()
def table_with_a_primary_key(context):
    odps = context.server.odps()
    columns = ("id bigint, at datetime, name string", "pt string")
    odps.create_table(context.table, columns, transactional=True, primary_key=["id", "at"])
    table = odps.get_table(context.table)
    same((table.is_transactional, table.primary_key), (True, ["id", "at"]))
    nullable = {column.name: column.nullable for column in table.table_schema.simple_columns}
    same(nullable, {"id": False, "at": False, "name": True})
