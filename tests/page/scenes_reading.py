"""Scenes of reading: sessions, rows, previews."""

import time

import pyarrow as pa

from tests.clients.scripts.behaviours import same
from tests.page.outputs import Varies, Varying
from tests.page.scene import Broken, Place, scene
from tests.page.substitutions import arguments, missing_import, placeholder

VALUES = pa.record_batch({"id": [1, 2, 3], "name": ["Alice", "Bob", "Carol"], "value": [100, 200, 150]})
STATUS = missing_import("odps.apis.storage_api_v2", "SessionStatus")


def numbered(count):
    return pa.record_batch({"id": range(count), "name": ["x"] * count})


def ids(*batches):
    return [value for batch in batches for value in batch["id"].to_pylist()]


@scene(22, varies=(Varies(Varying.ID, "session_12345"), Varies(Varying.SIZE, "5")))
def read_session_created(stage):
    stage.table()
    stage.write(numbered(10))
    names = yield {}
    same((names["response"].splits_count, names["response"].record_count), (1, 10))


@scene(23)
def splits_by_number(stage):
    stage.table("id bigint, name string, value bigint, more string")
    stage.write(VALUES)
    names = yield {}
    columns = names["response"].data_schema.data_columns
    same([each.name for each in columns], ["id", "name", "value"])


@scene(24)
def rows_of_one_partition(stage):
    stage.table(partitions="pt string, region string")
    stage.write(numbered(1000), partition="pt=20230101,region=us-west")
    stage.write(numbered(10), partition="pt=20230101,region=us-east")
    stage.write(numbered(20), partition="pt=20230102,region=us-west")
    yield {}


@scene(25, placeholder("100", "start"), varies=(Varies(Varying.SIZE, "150"),))
def changes_since_a_version(stage):
    stage.table(clause="TBLPROPERTIES ('transactional'='true')")
    stage.write(numbered(10))
    start = stage.client.create_read_session().latest_version
    stage.write(numbered(5))
    names = yield {"start": start}
    response = names["response"]
    same(response.latest_version, stage.client.create_read_session().latest_version)
    same(ids(*stage.batches(response.session_id)), list(range(5)))


@scene(
    35,
    varies=(Varies(Varying.DATE, "2023-01-01T12:00:00Z"),),
    broken=Broken("printed: Session status: SessionStatus.NORMAL", "its enum prints its own name, too"),
)
def read_session_looked_at(stage):
    stage.table()
    yield {}


@scene(36, STATUS, varies=(Varies(Varying.DATE, "2023-01-01T14:00:00Z"),), place=Place.SHORT_LIVED)
def read_session_refreshed(stage):
    stage.table()
    session = stage.client.create_read_session()
    time.sleep(max(0.0, session.expiration_time / 1000 - time.time()) + 0.1)
    names = yield {"session_id": session.session_id}
    assert names["refreshed_response"].expiration_time > session.expiration_time
    same(names["refreshed_response"].session_status.name, "NORMAL")


@scene(37, STATUS, arguments("read_rows_stream(...)", "create_response.session_id, split_index=split_index"))
def read_session_watched(stage):
    stage.table()
    stage.write(numbered(10))
    names = yield {}
    same(ids(*pa.ipc.open_stream(names["reader"])), list(range(10)))


@scene(46)
def preview_as_a_frame(stage):
    stage.table("id bigint, name string, value bigint")
    stage.write(VALUES)
    yield {}


@scene(47)
def preview_of_columns(stage):
    stage.table("id bigint, name string, value bigint")
    stage.write(VALUES)
    yield {}


@scene(48)
def preview_of_a_partition(stage):
    stage.table(partitions="pt string")
    stage.write(numbered(30), partition="pt=20230101")
    stage.write(numbered(10), partition="pt=20230102")
    names = yield {}
    same(set(names["df"]["pt"]), {"20230101"})


@scene(49)
def preview_of_the_schema(stage):
    stage.table("id bigint, name string, value double", "pt string")
    stage.write(VALUES.set_column(2, "value", pa.array([1.0, 2.0, 3.0])), partition="pt=20230101")
    yield {}


@scene(50)
def split_read_in_batches(stage):
    stage.table()
    stage.write(numbered(10))
    names = yield {"session_id": stage.client.create_read_session().session_id}
    same(list(names["df"]["id"]), list(range(10)))
    assert names["arrow_reader"].get_request_id()


@scene(51)
def splits_read_by_two_workers(stage):
    stage.table(partitions="pt string")
    stage.write(numbered(10), partition="pt=1")
    stage.write(numbered(5), partition="pt=2")
    names = yield {"session_id": stage.parallel_session(2)}
    rows = [pa.ipc.open_stream(names[name]).read_all().num_rows for name in ("reader1", "reader2")]
    same((sum(rows), all(rows)), (15, True))


@scene(52)
def batches_kept_small(stage):
    stage.table()
    stage.write(numbered(2500))
    names = yield {"session_id": stage.client.create_read_session().session_id}
    same(list(names["df"]["id"]), list(range(2048, 2500)))


@scene(53)
def range_of_a_split(stage):
    stage.table()
    stage.write(numbered(2000))
    names = yield {"session_id": stage.client.create_read_session().session_id}
    same(ids(*pa.ipc.open_stream(names["reader"])), list(range(1000, 1500)))


@scene(70)
def batches_read(stage):
    stage.table()
    stage.write(numbered(10))
    names = yield {}
    same(list(names["df"]["id"]), list(range(10)))
