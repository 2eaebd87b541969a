"""Scenes of write sessions: created, looked at, committed, aborted."""

from threading import Timer

import pyarrow as pa

from tests.clients.scripts.behaviours import same
from tests.page.outputs import Varies, Varying
from tests.page.scene import scene
from tests.page.substitutions import Kind, Substitution, arguments

PEOPLE = pa.record_batch({"id": [1, 2, 3], "name": ["Alice", "Bob", "Carol"]})
PEOPLE_ROWS = [[1, "Alice"], [2, "Bob"], [3, "Carol"]]
OTHERS = pa.record_batch({"id": [7], "name": ["Dora"]})
#: No table here has such a column.
STRANGE = pa.record_batch({"strange": [1]})


@scene(
    10,
    arguments("create_write_stream(...)", "session_id, stream_id=0"),
    arguments("write_rows_stream(...)", "session_id, stream_id=0"),
    varies=(Varies(Varying.MESSAGE, "Schema mismatch error"),),
)
def upload_that_fails(stage):
    stage.table()
    names = yield {"invalid_data": stage.stream_of(STRANGE)}
    assert "SCHEMA_MISMATCH" in stage.printed, stage.printed
    stage.aborted(names["session_id"])
    same(stage.rows(), [])


@scene(11)
def clean_up_after_a_commit(stage):
    stage.table()
    names = yield {}
    stage.client.commit_write_session(names["session_id"])  # again: it is committed, not aborted


VALIDATED = (
    arguments("write_rows_stream(...)", "session_id, stream_id=0"),
    arguments("close_write_stream(...)", "session_id, stream_id=0"),
)


@scene(12, *VALIDATED, left_out_before="writer =")
def data_found_wrong(stage):
    stage.table()
    names = yield {"data_has_errors": True}
    stage.client.create_write_stream(names["session_id"], stream_id=0)
    yield
    same(stage.printed, "Data validation failed, aborting session\n")
    stage.aborted(names["session_id"])


@scene(12, *VALIDATED, left_out_before="writer =")
def data_found_right(stage):
    stage.table()
    names = yield {"data_has_errors": False}
    stage.upload(names["session_id"], 1, PEOPLE)
    stage.client.create_write_stream(names["session_id"], stream_id=0)
    yield
    same((stage.printed, stage.rows()), ("", PEOPLE_ROWS))


@scene(18)
def upload_and_commit(stage):
    stage.table()
    yield {}
    same(stage.rows(), PEOPLE_ROWS)


@scene(19)
def commit_of_chosen_streams_of_a_delta_table(stage):
    stage.table(
        "id bigint not null, name string, primary key (id)", clause="TBLPROPERTIES ('transactional'='true')"
    )
    session = stage.session()
    stage.upload(session, "stream-1", PEOPLE, version=1)
    stage.upload(session, "stream-2", OTHERS, version=1)
    yield {"session_id": session}
    same(stage.rows(), PEOPLE_ROWS)


@scene(20)
def commit_once_all_is_closed(stage):
    stage.table()
    names = yield {}
    same(names["all_closed"], True)


@scene(21, varies=(Varies(Varying.MESSAGE, "[error message]"),), left_out_before="try:")
def commit_that_fails(stage):
    stage.table()
    names = yield {}
    session = names["session_id"]
    stage.client.create_write_stream(session, stream_id=0)
    stage.send(session, 0, PEOPLE)  # and the stream stays open
    yield
    assert "InvalidStreamStatus" in stage.printed, stage.printed
    stage.aborted(session)
    same(stage.rows(), [])


@scene(26, varies=(Varies(Varying.ID, "write_session_12345"),))
def session_created(stage):
    stage.table()
    names = yield {}
    stage.upload(names["session_id"], 0, PEOPLE)
    stage.commit(names["session_id"])
    same(stage.rows(), PEOPLE_ROWS)


@scene(27)
def session_of_a_partition(stage):
    stage.table(partitions="pt string")
    names = yield {}
    same(stage.printed, "Writing to partition pt=20230101\n")
    stage.upload(names["session_id"], 0, OTHERS)
    stage.commit(names["session_id"])
    same(stage.rows(), [[7, "Dora", "20230101"]])


@scene(28)
def session_that_overwrites(stage):
    stage.table(partitions="pt string")
    stage.write(PEOPLE, partition="pt=20230101")
    stage.write(PEOPLE, partition="pt=20230102")
    names = yield {}
    stage.upload(names["session_id"], 0, OTHERS)
    stage.commit(names["session_id"])
    same(stage.rows(), sorted([[7, "Dora", "20230101"], *([*row, "20230102"] for row in PEOPLE_ROWS)]))


@scene(29, left_out_before="client.commit_write_session")
def session_from_begin_to_end(stage):
    stage.table()
    names = yield {}
    stage.upload(names["session_id"], 0, PEOPLE)
    yield
    same(stage.rows(), PEOPLE_ROWS)


@scene(30)
def session_given_up(stage):
    stage.table()
    names = yield {}
    stage.aborted(names["session_resp"].session_id)


@scene(38)
def session_without_streams(stage):
    stage.table()
    yield {}


@scene(
    39,
    arguments("stream_resp1 = client.create_write_stream(...)", "session_id, stream_id=0"),
    arguments("stream_resp2 = client.create_write_stream(...)", "session_id, stream_id=1"),
)
def session_with_streams(stage):
    stage.table()
    yield {"session_id": stage.session()}


@scene(
    40,
    arguments("close_write_stream(...)", "session_id, stream_id=0"),
    arguments("close_write_stream(...)", "session_id, stream_id=1"),
)
def streams_closed_before_the_commit(stage):
    stage.table()
    session = stage.session(0, 1)
    stage.send(session, 0, PEOPLE)
    stage.send(session, 1, OTHERS)
    yield {"session_id": session}
    same((stage.printed, stage.rows()), ("", [*PEOPLE_ROWS, [7, "Dora"]]))


@scene(
    40,
    arguments("close_write_stream(...)", "session_id, stream_id=0"),
    arguments("close_write_stream(...)", "session_id, stream_id=1"),
)
def stream_still_open_before_the_commit(stage):
    stage.table()
    session = stage.session(0, 1, 2)
    yield {"session_id": session}
    same((stage.printed, stage.rows()), ("Warning: 1 streams still open\n", []))


@scene(41, Substitution(Kind.SLEEP, "time.sleep(5)", "time.sleep(0.05)"))
def progress_of_parallel_uploads(stage):
    stage.table()
    session = stage.session(0, 1)
    stage.send(session, 0, PEOPLE)
    stage.client.close_write_stream(session, stream_id=0)
    stage.send(session, 1, OTHERS)

    # Another worker is not done yet.
    worker = Timer(0.1, stage.client.close_write_stream, (session, 1))
    worker.start()
    yield {"session_id": session}
    worker.join()
    same(stage.printed.splitlines()[-1], "Progress: 2/2 streams closed")
    same(stage.rows(), [*PEOPLE_ROWS, [7, "Dora"]])
