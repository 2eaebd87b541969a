"""The rows of queries through `odps.maxstorage`."""

import ms_client
import pyarrow as pa
from behaviours import behaviour, same


def opened(context, query):
    odps = context.server.odps()
    return ms_client.client_of(context, odps=odps), odps.execute_sql(query)


@behaviour("2", "3")
def instance_rows(context):
    client, instance = opened(context, "select explode(sequence(1, 10)) as n, 'x' as t")
    session = client.create_instance_read_session(instance)
    same(session.record_count, 10)
    table = ms_client.drained(session.open_arrow_reader(task_name="t"))
    same(table.column("n").to_pylist(), list(range(1, 11)))
    some = ms_client.drained(session.open_arrow_reader(2, 3, columns=["n"], task_name="t"))
    same(some, pa.table({"n": pa.array([3, 4, 5], pa.int64())}))
    for algorithm in (ms_client.Algorithm.ODPS_ZSTD, ms_client.Algorithm.ODPS_LZ4):
        compressed = ms_client.drained(session.open_arrow_reader(compress_algo=algorithm, task_name="t"))
        same(compressed.num_rows, 10)
    again = client.create_instance_read_session(instance, session_id=session.id)
    same((again.id, again.record_count), (session.id, 10))
