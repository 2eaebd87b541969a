"""``maxlake load`` and ``dump``: files in, files out, the same rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import maxlake
from maxlake.testing import LocalServer
from tests.cli.conftest import Ran

ROWS = pa.table({"id": [1, 2, 3], "at": pa.array([0, 1, None], pa.timestamp("ns")), "day": ["a", "a", "b"]})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pq.write_table(ROWS, tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def test_files_go_in_and_come_out(
    maxlake_command: Callable[..., Ran], file: Path, cli_server: LocalServer, tmp_path: Path
) -> None:
    (tmp_path / "more.parquet").write_bytes(file.read_bytes())
    files = [str(file), str(tmp_path / "more.parquet")]
    made = maxlake_command("load", *files, "trips", "--create", "--partition-by", "day", "--json")
    assert (made.status, made.err) == (0, "")
    assert [{key: each[key] for key in ("table", "created", "rows")} for each in made.told] == [
        {"table": "trips", "created": True, "rows": 6}
    ]
    table = cli_server.odps().get_table("trips")
    assert [column.name for column in table.table_schema.partitions] == ["day"]
    again = maxlake_command("load", str(file), "trips", "--create", "--mode", "overwrite")
    assert again.out.startswith("trips: 3 rows in ")

    dumped = maxlake_command("dump", "trips", str(tmp_path / "out"), "--json", "--where", "id > 1")
    assert dumped.status == 0
    read = pa.concat_tables([pq.read_table(name) for name in dumped.told[0]["files"]])
    assert read.sort_by("id") == ROWS.slice(1)
    plain = maxlake_command("dump", "trips", str(tmp_path / "b"), "--partition", "day=b", "--column", "id")
    assert pq.read_table(plain.out.splitlines()[0]).to_pydict() == {"id": [3]}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["load", "absent.csv", "nowhere"], "maxlake load: NoSuchTable"),
        (["load", "absent.csv", "nowhere", "--create"], "maxlake load: there is no file at absent.csv"),
        (["load", "nowhere"], "maxlake load: name files or directories, and last the table"),
        (["load", "FILE", "nowhere", "--create", "--partition-by", "dya"], "they have: id, at, day"),
        (["dump", "nowhere", "out"], "maxlake dump: NoSuchTable"),
        (["preview", "nowhere"], "maxlake preview: NoSuchTable"),
    ],
)
def test_what_goes_wrong_is_one_message(
    maxlake_command: Callable[..., Ran], file: Path, words: list[str], message: str, cli_server: LocalServer
) -> None:
    words = [str(file) if word == "FILE" else word for word in words]
    assert message in str(maxlake_command(*words).status)
    assert not cli_server.odps().exist_table("nowhere")


def test_a_file_that_is_no_key_is_named(maxlake_command: Callable[..., Ran], file: Path) -> None:
    ended = maxlake_command("dump", "nowhere", "out", key_file=str(file))
    assert f"maxlake dump: {file} holds no access key" in str(ended.status)


def test_an_interrupted_load_says_so(
    maxlake_command: Callable[..., Ran], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        error = KeyboardInterrupt()
        error.add_note("Write session s was aborted: nothing of it is visible.")
        raise error

    monkeypatch.setattr(maxlake, "write", interrupted, raising=False)
    ended = maxlake_command("load", str(file), "trips")
    assert (ended.status, ended.out) == (130, "")
    assert ended.err == "maxlake load: interrupted\nWrite session s was aborted: nothing of it is visible.\n"
