"""While an INSERT ... SELECT computes for minutes, small commits of others are as quick as ever."""

import time
from collections.abc import Callable

import pyarrow as pa

from maxlake.client import StorageApiArrowClient
from maxlake.testing import local_server
from tests.budget import Budget

#: What the slowest but one of a hundred small writes may take: session, stream, upload, close, commit.
SLOWEST = 1.0
#: Of fewer, one that was slow by chance would be the 99th percentile.
FEWEST = 200
#: An insert of rows without end, as far as a test can tell.
NUMBERS = "(select explode(sequence(1, 100000)) as i)"
ENDLESS = (
    "insert into large select a.i * b.i + c.i, concat('row ', a.i) "
    f"from {NUMBERS} a join {NUMBERS} b on a.i <> b.i join {NUMBERS} c on b.i <> c.i"
)


def test_small_commits_do_not_wait_for_a_large_insert(budget: Callable[[float], Budget]) -> None:
    with local_server() as server:
        odps = server.odps()
        odps.create_table("large", "n bigint, t string")
        client = StorageApiArrowClient(odps, odps.create_table("small", "id bigint"))
        odps.execute_sql("select 1")  # a worker has been started
        instance = odps.run_sql(ENDLESS)
        taken: list[float] = []
        for number in budget(10).points(at_least=FEWEST):
            begin = time.perf_counter()
            _commit(client, number)
            taken.append(time.perf_counter() - begin)
        assert not instance.is_terminated()
        instance.stop()
        taken.sort()
        slowest = taken[-1 - len(taken) // 100]
        print(f"{len(taken)} commits: median {taken[len(taken) // 2]:.3f} s, p99 {slowest:.3f} s")
        assert slowest <= SLOWEST
        with odps.execute_sql("select count(*) from small").open_reader(tunnel=False) as reader:
            assert next(iter(reader))[0] == str(len(taken))


def _commit(client: StorageApiArrowClient, number: int) -> None:
    session = client.create_write_session().session_id
    client.create_write_stream(session, stream_id=0)
    writer = client.write_rows_arrow(session, stream_id=0)
    writer.write(pa.record_batch({"id": pa.array([number], pa.int64())}))
    writer.finish()
    client.close_write_stream(session, stream_id=0)
    client.commit_write_session(session)
