"""One job in this process: its bounds, and what it leaves when it fails."""

from pathlib import Path

import pytest

from maxlake.lake.sql.execution import run
from maxlake.lake.sql.jobs import Done, Failed, Job, Outcome, Rows
from maxlake.protocol.errors import ErrorCode

MEBIBYTE = 1024 * 1024


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outcome(data: Path, text: str, *, most: int | None = None, memory: int = 256 * MEBIBYTE) -> Outcome:
    output = Rows(str(data), "result", "result", (), most)
    return run(Job(text, str(data), str(data / "spill"), (), output, memory, 1))


def test_rows_are_parts(data: Path) -> None:
    done = outcome(data, "SELECT range AS n FROM range(100000)")
    assert isinstance(done, Done)
    assert done.record_count == 100_000
    assert [part.path for part in done.parts] == ["result.parquet"]
    assert (data / "result" / "result.parquet").is_file()


def test_a_result_that_is_too_large_leaves_nothing(data: Path) -> None:
    failed = outcome(data, "SELECT range AS n FROM range(100000)", most=MEBIBYTE // 2)
    assert isinstance(failed, Failed)
    assert failed.code is ErrorCode.REQUEST_TOO_LARGE
    assert not list(data.rglob("*.parquet"))


def test_more_memory_than_allowed_is_an_error(data: Path) -> None:
    failed = outcome(data, "SELECT list(range) AS l FROM range(100000000)", memory=64 * MEBIBYTE)
    assert isinstance(failed, Failed)
    assert failed.code is ErrorCode.REQUEST_TOO_LARGE


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('../x.csv')",
        "SELECT * FROM '/etc/passwd.parquet'",
        "SELECT * FROM glob('/*')",
    ],
)
def test_files_that_are_not_the_jobs_are_out_of_reach(data: Path, text: str) -> None:
    """Even were such a text let through."""
    failed = outcome(data, text)
    assert isinstance(failed, Failed)
    assert "root" not in failed.message
