"""``maxlake preview`` and ``tables``: looking at what is there."""

from collections.abc import Callable

import pytest

from maxlake.cli.preview import _shown
from maxlake.testing import LocalServer
from tests.cli.conftest import Ran


@pytest.fixture(autouse=True, scope="module")
def looked_at(cli_server: LocalServer) -> None:
    odps = cli_server.odps()
    odps.create_table("looked_at", ("id bigint, x double, at timestamp", "day string"))
    odps.execute_sql(
        "insert into looked_at partition (day='mon') values "
        "(1, cast('nan' as double), null), (2, null, timestamp '2024-02-29 12:00:00.123456789')"
    )
    odps.execute_sql(
        "create table looked_up (k bigint not null, primary key (k)) tblproperties ('transactional'='true')"
    )


def test_rows_are_shown(maxlake_command: Callable[..., Ran]) -> None:
    shown = maxlake_command("preview", "looked_at").out
    assert all(word in shown for word in ("id", "nan", "NULL", "2024-02-29 12:00:00.123456789", "mon"))
    told = maxlake_command("preview", "looked_at", "--json", "--partition", "day=mon", "--limit", "2").told
    assert told == [
        {"id": 1, "x": "nan", "at": None, "day": "mon"},
        {"id": 2, "x": None, "at": "2024-02-29 12:00:00.123456789", "day": "mon"},
    ]
    assert [_shown(each) for each in (float("-inf"), [{"a": float("nan")}], None, 1.5)] == [
        "-inf",
        [{"a": "nan"}],
        None,
        1.5,
    ]
    assert maxlake_command("preview", "looked_at", "--column", "id", "--json", "--limit", "1").told == [
        {"id": 1}
    ]


def test_tables_are_listed(maxlake_command: Callable[..., Ran]) -> None:
    assert maxlake_command("tables", "looked").out.splitlines() == ["looked_at", "looked_up"]
    assert maxlake_command("tables", "looked_u", "--json").told == [{"table": "looked_up"}]
    assert maxlake_command("tables", "looked", "--columns", "--json").told == [
        {
            "table": "looked_at",
            "columns": {"id": "bigint", "x": "double", "at": "timestamp"},
            "partitions": {"day": "string"},
            "primary_key": [],
        },
        {"table": "looked_up", "columns": {"k": "bigint"}, "partitions": {}, "primary_key": ["k"]},
    ]
    shown = maxlake_command("tables", "looked", "--columns").out
    assert "primary key" in shown
    assert "partition" in shown
