"""Scenes of write streams: created, written to, looked at, closed."""

import pyarrow as pa

from tests.clients.scripts.behaviours import same
from tests.page.outputs import Misprint, Varies, Varying
from tests.page.scene import Broken, Place, scene
from tests.page.scenes_sessions import OTHERS, PEOPLE, PEOPLE_ROWS, STRANGE
from tests.page.substitutions import arguments

VALUES = [[1, "Alice", 100.0], [2, "Bob", 200.0], [3, "Carol", 150.0]]
THOUSAND = pa.record_batch({"id": range(1000), "name": ["x"] * 1000})


@scene(13, arguments("record_batch([...], ", 'pa.array([1, 2, 3]), pa.array(["Alice", "Bob", "Carol"])'))
def writer_finished_and_stream_closed(stage):
    stage.table()
    yield {"schema": PEOPLE.schema}
    same(stage.rows(), PEOPLE_ROWS)


@scene(14)
def parallel_streams_closed(stage):
    stage.table()
    yield {"batch": OTHERS}
    same(stage.rows(), [[7, "Dora"]] * 3)


def _unclosed(stage, declared):
    stage.table()
    session = stage.session(0)
    stage.send(session, 0, PEOPLE, count=declared)
    return session


@scene(15, broken=Broken("NameError: name 'logger' is not defined", "it fails at any warning, to log it"))
def stream_closed_with_rows_missing(stage):
    session = _unclosed(stage, declared=4)
    yield {"session_id": session}
    assert "data_incomplete" in stage.printed, stage.printed
    stage.aborted(session)


@scene(15)
def stream_closed_without_a_warning(stage):
    yield {"session_id": _unclosed(stage, declared=3)}
    same((stage.printed, stage.rows()), ("", PEOPLE_ROWS))


@scene(16)
def closed_stream_verified(stage):
    yield {"session_id": _unclosed(stage, declared=3)}
    same(stage.rows(), PEOPLE_ROWS)


@scene(17)
def stream_that_does_not_close(stage):
    stage.table()
    session = stage.session(0)
    stage.client.create_write_stream(session, stream_id=0, stream_version=1)
    yield {"session_id": session}
    assert stage.printed.startswith("Failed to close stream: "), stage.printed
    stage.aborted(session)


@scene(17)
def stream_with_errors_closed(stage):
    stage.table()
    session = stage.session(0)
    stage.spoil(session, 0, stage.stream_of(STRANGE))
    yield {"session_id": session}
    assert "error" in stage.printed.lower(), stage.printed
    stage.aborted(session)


@scene(31, varies=(Varies(Varying.EXCERPT, "{'Columns': [...]}"),))
def stream_created(stage):
    stage.table()
    names = yield {}
    columns = names["stream_resp"].data_schema["Columns"]
    same([each["Name"] for each in columns], ["id", "name"])
    assert "'Columns': [{" in stage.printed, stage.printed


@scene(32)
def parallel_streams_created(stage):
    stage.table()
    names = yield {}
    same(stage.printed, "Created 3 parallel streams\n")
    streams = stage.client.get_write_session(names["session_id"]).streams
    same([each["StreamId"] for each in streams], ["0", "1", "2"])


@scene(
    33,
    arguments("write_rows_stream(...)", "session_id, stream_id=0, stream_version=0"),
    arguments("write_rows_stream(...)", "session_id, stream_id=0, stream_version=1"),
    place=Place.FAULTY,
    broken=Broken("KeyError: 'retry_resp'", "a thread of its own sends: write() never fails, finish() does"),
)
def upload_again_with_a_higher_version(stage):
    stage.table()
    # 48 MB, more than sockets take ahead: only then does a write fail before the end of the upload.
    batch = pa.record_batch({"id": pa.nulls(6_000_000, pa.int64())})
    names = yield {"data": stage.stream_of(batch)}
    same(names["retry_resp"].data_schema, names["stream_resp"].data_schema)
    names["writer"].finish()
    session = names["session_id"]
    stage.client.close_write_stream(session, 0, 1)
    stage.client.commit_write_session(session)
    same(stage.client.create_read_session().record_count, batch.num_rows)


@scene(34)
def schema_of_a_stream(stage):
    stage.table()
    yield {"session_id": stage.session()}


@scene(42)
def stream_that_is_open(stage):
    stage.table()
    yield {}


@scene(
    43,
    arguments("write_rows_stream(...)", "session_id, stream_id=0"),
    arguments("close_write_stream(...)", "session_id, stream_id=0"),
    varies=(Varies(Varying.SIZE, "524288"),),
)
def statistics_of_a_stream(stage):
    stage.table()
    session = stage.session(0)
    names = yield {"session_id": session, "batch": stage.stream_of(THOUSAND)}
    assert names["status"].byte_size > 1000
    stage.commit(session)
    same(len(stage.rows()), 1000)


@scene(
    44,
    varies=(Varies(Varying.MESSAGE, "Schema validation failed"),),
    misprints=(
        Misprint(
            "Stream 2: ERROR, Schema validation failed",
            "Stream 2 failed: Schema validation failed",
            "the code prints that of a stream in error",
        ),
    ),
    left_out_before="for i in range(3):\n    status",
)
def parallel_streams_watched(stage):
    stage.table()
    names = yield {}
    session = names["session_id"]
    stage.send(session, 0, THOUSAND.slice(0, 500))
    stage.send(session, 1, THOUSAND.slice(500, 300))
    stage.spoil(session, 2, stage.stream_of(STRANGE))
    yield
    assert "strange" in stage.printed, stage.printed


@scene(45)
def stream_in_error_tried_again(stage):
    stage.table()
    session = stage.session(0)
    stage.spoil(session, 0, stage.stream_of(STRANGE))
    yield {"session_id": session}
    assert stage.printed.startswith("Stream error [SCHEMA_MISMATCH]: "), stage.printed
    same(stage.client.get_write_stream(session, "0", 1).status, "OPEN")


@scene(45)
def stream_in_error_given_up(stage):
    stage.table()
    session = stage.session(0)
    stage.spoil(session, 0, b"no Arrow at all")
    yield {"session_id": session}
    assert stage.printed.startswith("Stream error [DATA_ERROR]: "), stage.printed
    stage.aborted(session)


@scene(69)
def upload_from_begin_to_end(stage):
    stage.table("id bigint, name string, value double")
    yield {}
    same(stage.rows(), VALUES)


# Nothing tells of it here, but "you must create one or more write streams" (create_write_session).
@scene(71, left_out_before="writer =")
def batches_written(stage):
    stage.table()
    names = yield {"record_batch": THOUSAND.slice(0, 100)}
    session = names["write_resp"].session_id
    stage.client.create_write_stream(session, stream_id="0")
    yield
    stage.commit(session, "0")
    same(len(stage.rows()), 100)
