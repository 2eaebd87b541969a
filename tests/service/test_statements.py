"""ALTER TABLE as clients write it, from statement to rows."""

from datetime import datetime

import pyarrow as pa
import pytest

from maxlake.lake import snapshots
from maxlake.protocol.messages.read import CreateReadSessionRequest, ReadAddress, ReadRowsRequest
from maxlake.protocol.types.text import parse_type
from maxlake.service import read_sessions, rows, tables
from maxlake.service.project import Project
from tests.service.scene import ME, Scene


def table(scene: Scene, name: str = "t") -> tables.Table:
    return tables.get(scene.project, "default", name)


def names(scene: Scene) -> list[str]:
    return [column.name for column in table(scene).columns.all_columns]


def run(scene: Scene, *statements: str) -> None:
    for text in statements:
        instance = scene.sql(text)
        assert instance.succeeded, instance.result


def refusal(scene: Scene, text: str) -> str:
    before = table(scene)
    instance = scene.sql(text)
    assert not instance.succeeded
    assert table(scene) == before
    return instance.result


def read(scene: Scene, session_id: str) -> pa.Table:
    stream = rows.read(scene.project, scene.target, ReadAddress(session_id=session_id), ReadRowsRequest(), ME)
    return pa.Table.from_batches(stream.batches, stream.schema)


def test_the_statements_of_pyodps(project: Project) -> None:
    """What ``Table.add_columns``, ``delete_columns``, ``rename_column`` and ``rename`` of PyODPS send."""
    scene = Scene(project, "id bigint, a string")
    t = f"{project.name}.`t`"
    run(
        scene,
        f"ALTER TABLE {t} ADD COLUMNS (\n  `id2` STRING COMMENT 'x',\n  `n` BIGINT\n);",
        f"ALTER TABLE {t} ADD COLUMNS IF NOT EXISTS (\nfid double, ID2 string\n);",
    )
    assert names(scene) == ["id", "a", "id2", "n", "fid", "pt"]
    run(
        scene,
        f"ALTER TABLE {t} DROP COLUMNS `n`, `fid`;",
        f"ALTER TABLE {t} CHANGE COLUMN id2 RENAME TO b;",
        f"ALTER TABLE {t} CHANGE COLUMN b   `c` STRING COMMENT 'it\\'s';",
    )
    assert names(scene) == ["id", "a", "c", "pt"]
    assert table(scene).columns.column("c").comment == "it's"
    run(scene, f"ALTER TABLE {t} RENAME TO `u`;")
    assert [column.name for column in table(scene, "u").columns.columns] == ["id", "a", "c"]
    assert not scene.sql("ALTER TABLE t DROP COLUMN a;").succeeded


def test_touched_is_changed_now_and_the_version_stays(project: Project) -> None:
    scene = Scene(project)
    run(scene, "ALTER TABLE t ADD PARTITION (pt='a') PARTITION (pt='b')")

    def times() -> list[datetime]:
        found = tables.list_partitions(project, "default", "t", None)
        return [table(scene).modified_at, *(partition.modified_at for partition in found)]

    def version() -> int:
        with project.lake.database.read() as connection:
            return snapshots.latest(connection)

    before, latest = times(), version()
    run(scene, "ALTER TABLE t TOUCH")
    touched = times()
    assert (touched[0] > before[0], touched[1:]) == (True, before[1:])
    run(scene, "ALTER TABLE t TOUCH PARTITION (pt='b')")
    assert (times()[0] > touched[0], times()[1], times()[2] > before[2]) == (True, before[1], True)
    assert "does not exist" in refusal(scene, "ALTER TABLE t TOUCH PARTITION (pt='z')")
    run(scene, "ALTER TABLE t CHANGEOWNER TO 'bob'")
    assert (table(scene).owner, version()) == ("bob", latest)


def test_every_form(project: Project) -> None:
    scene = Scene(project, "id int not null, a varchar(3)")
    run(
        scene,
        "ALTER TABLE t ADD COLUMN d DECIMAL(4,1) DEFAULT 1.5 COMMENT 'd'",
        "ALTER TABLE t RENAME COLUMN a TO b",
        "ALTER TABLE t CHANGE b b STRING",
        "ALTER TABLE t CHANGE COLUMN id id BIGINT NOT NULL COMMENT 'key'",
        "ALTER TABLE t CHANGE COLUMN id NULL",
        "ALTER TABLE t CHANGE COLUMN b COMMENT 'text'",
    )
    described = {
        column.name: (str(column.type), column.nullable, column.comment, column.default)
        for column in table(scene).columns.all_columns
    }
    assert described == {
        "id": ("bigint", True, "key", None),
        "b": ("string", True, "text", None),
        "d": ("decimal(4,1)", True, "d", "1.5"),
        "pt": ("string", True, "", None),
    }
    assert table(scene).schema_version == 5


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("ALTER TABLE t ADD COLUMN id int", "ODPS-0130071", "already exists"),
        ("ALTER TABLE t ADD COLUMN c int DEFAULT 'x'", "ODPS-0420411", "the default 'x' is no int"),
        ("ALTER TABLE t DROP COLUMN pt", "ODPS-0420411", "partition column"),
        ("ALTER TABLE t DROP COLUMN id", "ODPS-0420411", "at least one column"),
        ("ALTER TABLE t CHANGE id id INT", "ODPS-0420411", "allowed are"),
        ("ALTER TABLE t CHANGE COLUMN id id BIGINT NOT NULL", "ODPS-0420411", "NOT NULL cannot be added"),
        ("ALTER TABLE t RENAME TO t", "ODPS-0130071", "already exists"),
        ("CREATE TABLE u (c tinyint DEFAULT 128)", "ODPS-0420411", "the default '128' is no tinyint"),
        ("CREATE TABLE u (c array<int> DEFAULT '[]')", "ODPS-0420411", "no default but NULL"),
    ],
)
def test_refused(project: Project, text: str, code: str, reason: str) -> None:
    found = refusal(Scene(project), text)
    assert found.startswith(code)
    assert reason in found


def test_a_session_open_during_changes_reads_its_columns(project: Project) -> None:
    scene = Scene(project, "id int, a string")
    session = scene.session()
    address = scene.stream(session)
    scene.write_table(address, pa.table({"id": pa.array([1], pa.int32()), "a": ["x"]}))
    scene.close(address)
    scene.commit(session)
    request = CreateReadSessionRequest()
    opened = read_sessions.create(scene.project, scene.target, request, ME).session_id
    run(
        scene,
        "ALTER TABLE t DROP COLUMN a",
        "ALTER TABLE t CHANGE id a BIGINT",
        "ALTER TABLE t ADD COLUMN id STRING DEFAULT 'new'",
    )
    before = read(scene, opened)
    assert before.to_pylist() == [{"id": 1, "a": "x", "pt": "a"}]
    assert before.schema.field("id").type == pa.int32()
    after = read(scene, read_sessions.create(scene.project, scene.target, request, ME).session_id)
    assert after.to_pylist() == [{"a": 1, "id": "new", "pt": "a"}]
    assert after.schema.field("a").type == pa.int64()


def test_what_was_uploaded_before_a_change_may_be_committed_after_it(project: Project) -> None:
    scene = Scene(project, "id bigint, a string")
    session = scene.session(enable_schema_evolution="true")
    address = scene.stream(session)
    scene.write_table(address, pa.table({"id": [1], "a": ["x"]}))
    run(scene, "ALTER TABLE t DROP COLUMN a", "ALTER TABLE t ADD COLUMN a INT DEFAULT 7")
    scene.close(address)
    scene.commit(session)
    request = CreateReadSessionRequest()
    opened = read_sessions.create(scene.project, scene.target, request, ME).session_id
    assert read(scene, opened).to_pylist() == [{"id": 1, "a": 7, "pt": "a"}]


def test_a_default_is_kept_in_one_form(project: Project) -> None:
    scene = Scene(project, "id bigint default '007', d decimal(5,2) default 1")
    defaults = {column.name: column.default for column in table(scene).columns.columns}
    assert defaults == {"id": "7", "d": "1.00"}
    assert table(scene).columns.column("id").type == parse_type("bigint")


def test_filters_see_defaults_and_widened_values(project: Project) -> None:
    scene = Scene(project, "id int, f float")
    session = scene.session()
    address = scene.stream(session)
    written = pa.table({"id": pa.array([1, 2], pa.int32()), "f": pa.array([0.1, 0.5], pa.float32())})
    scene.write_table(address, written)
    scene.close(address)
    scene.commit(session)
    run(
        scene,
        "ALTER TABLE t ADD COLUMNS (d INT DEFAULT 42, n BIGINT)",
        "ALTER TABLE t CHANGE d d BIGINT",
        "ALTER TABLE t CHANGE id k DECIMAL(10,0)",
        "ALTER TABLE t CHANGE f f DOUBLE",
    )
    for predicate, count in (
        ("d = 42", 2),
        ("d = 43", 0),
        ("d > 41 and k = 1", 1),
        ("n is null", 2),
        ("n = 1", 0),
        ("k > 5", 0),
        ("f > 0.3", 1),
    ):
        request = CreateReadSessionRequest(filter_predicate=predicate)
        opened = read_sessions.create(scene.project, scene.target, request, ME).session_id
        assert read(scene, opened).num_rows == count, predicate
