"""What the entry objects of PyODPS do with SQL: statements, instances, and results as text."""

import datetime
import time

from behaviours import behaviour, refused, same

from odps import errors


def filled(context, rows="(1, 'x'), (2, null), (3, 'z')"):
    odps = context.server.odps()
    odps.create_table(context.table, ("id bigint, name string", "pt string"))
    odps.execute_sql(f"insert into {context.table} partition (pt='a') values {rows}")
    return odps


@behaviour()
def results_as_text(context):
    odps = filled(context)
    instance = odps.execute_sql(f"select id, name from {context.table} order by id")
    assert instance.is_successful()
    with instance.open_reader(tunnel=False) as reader:
        rows = [tuple(record.values) for record in reader]
    same([(int(id_), name) for id_, name in rows], [(1, "x"), (2, None), (3, "z")])
    with odps.execute_sql("select 'Größe \"1\", \\\\ und\\n' as t, true as b").open_reader(
        tunnel=False
    ) as reader:
        same(next(iter(reader))[0], 'Größe "1", \\ und\n')


@behaviour()
def insert_and_overwrite(context):
    odps = filled(context)
    odps.execute_sql(f"insert overwrite table {context.table} partition (pt) select 7, 'seven', 'b'")
    odps.execute_sql(f"insert overwrite table {context.table} partition (pt='a') select 8, 'eight'")
    table = odps.get_table(context.table)
    same(sorted(str(partition) for partition in table.partitions), ["pt='a'", "pt='b'"])
    table.reload()
    same(table.record_num, 2)
    odps.execute_sql(f"truncate table {context.table} partition (pt='a')")
    same(odps.get_table(context.table).get_partition("pt=a").record_num, 0)


@behaviour()
def sql_that_fails(context):
    odps = filled(context)
    refused(errors.NoSuchTable, lambda: odps.execute_sql("select * from no_such_table"))
    refused(errors.ParseError, lambda: odps.execute_sql("selec 1"))
    refused(errors.ParseError, lambda: odps.execute_sql("select * from read_text('/etc/passwd')"))
    refused(errors.ODPSError, lambda: odps.execute_sql(f"select nope from {context.table}"), mention="nope")
    instance = odps.run_sql(f"insert into {context.table} partition (pt='a') select 'x', 'y'")
    refused(errors.ODPSError, instance.wait_for_success)
    assert instance.is_terminated()
    assert not instance.is_successful()


@behaviour()
def instances_of_a_project(context):
    odps = filled(context)
    begin = datetime.datetime.now() - datetime.timedelta(hours=1)
    instance = odps.run_sql(f"select count(*) from {context.table}", hints={"odps.sql.submit.mode": ""})
    instance.wait_for_success()
    assert odps.exist_instance(instance.id)
    assert not odps.exist_instance("20200101no_such_instance")
    assert instance.id in [each.id for each in odps.list_instances(start_time=begin)]
    assert instance.id in [each.id for each in odps.list_instances(status="Terminated", only_owner=True)]
    assert instance.id not in [each.id for each in odps.list_instances(end_time=begin)]
    assert context.table in instance.get_sql_query()
    (task,) = instance.get_task_names()
    same(instance.get_task_progress(task).stages[0].finished_percentage, 100)
    assert instance.start_time <= instance.end_time
    assert isinstance(instance.get_logview_address(), str)
    instance.stop()


@behaviour()
def stopped_instance(context):
    odps = context.server.odps()
    numbers = "(select explode(sequence(1, 100000)) as i)"
    instance = odps.run_sql(
        f"select count(*) from {numbers} a join {numbers} b on a.i <> b.i join {numbers} c on b.i <> c.i"
    )
    assert not instance.is_terminated()
    instance.stop()
    end = time.monotonic() + 60
    while not instance.is_terminated():
        assert time.monotonic() < end
        time.sleep(0.1)
    assert not instance.is_successful()


@behaviour()
def created_with_every_clause(context):
    odps = context.server.odps()
    odps.execute_sql(
        f"create table {context.table} (id bigint not null comment 'key', v string default 'none', "
        "primary key (id)) comment 'a table' partitioned by (pt string comment 'day') "
        "tblproperties ('transactional'='true') lifecycle 9"
    )
    table = odps.get_table(context.table)
    same((table.comment, table.lifecycle, list(table.primary_key)), ("a table", 9, ["id"]))
    assert table.is_transactional
    odps.execute_sql(f"insert into {context.table} partition (pt='a') (id) values (1), (2)")
    odps.execute_sql(f"update {context.table} set v = 'new' where id = 2")
    odps.execute_sql(f"delete from {context.table} where id = 1")
    with odps.execute_sql(f"select * from {context.table}").open_reader(tunnel=False) as reader:
        same([tuple(record.values) for record in reader], [("2", "new", "a")])
    odps.execute_sql(f"create table {context.table}_copy as select * from {context.table}")
    assert odps.exist_table(f"{context.table}_copy")
    odps.delete_table(f"{context.table}_copy")


@behaviour()
def questions(context):
    odps = filled(context)
    with odps.execute_sql(f"show partitions {context.table}").open_reader(tunnel=False) as reader:
        same(reader.raw.strip(), "pt=a")
    with odps.execute_sql(f"desc {context.table}").open_reader(tunnel=False) as reader:
        assert "id | bigint" in reader.raw
    assert context.table in [table.name for table in odps.list_tables(prefix=context.table)]


@behaviour()
def projects_and_schemas(context):
    odps = context.server.odps()
    assert context.server.project in [project.name for project in odps.list_projects()]
    name = context.table
    odps.create_schema(name)
    assert odps.exist_schema(name)
    assert name in [schema.name for schema in odps.list_schemas()]
    odps.execute_sql(f"create table {context.server.project}.{name}.t (i int)")
    inside = context.server.odps(schema=name)
    inside.execute_sql("insert into t values (5)")
    with inside.execute_sql("select i from t").open_reader(tunnel=False) as reader:
        same([record[0] for record in reader], ["5"])
    inside.delete_table("t")
    odps.delete_schema(name)
    assert not odps.exist_schema(name)
