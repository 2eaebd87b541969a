"""The checker of syncs itself: it passes a good trace, and no trace in which a sync is missing or late."""

from pathlib import Path

import pytest

from tests.crash.sync_trace import (
    answers,
    early_removals,
    parse,
    removals,
    unsynced_answers,
    unsynced_names,
)

ROOT = Path("/lake")
WAL = ROOT / "lake.sqlite-wal"
FILE = ROOT / "data" / "t-1" / "pt=a" / "s-0.0-1.parquet"
DRAFT = FILE.with_name(f".incomplete-{FILE.name}")

GOOD = f"""\
7 mkdir("{ROOT}/data/t-1/pt=a", 0777) = -1 ENOENT (No such file or directory)
7 mkdir("{ROOT}/data/t-1", 0777)    = 0
7 mkdir("{ROOT}/data/t-1/pt=a", 0777 <unfinished ...>
8 write(9<TCP:[127.0.0.1:80->127.0.0.1:81]>, "HTTP/1.1 200 OK\\r\\n", 17) = 17
7 <... mkdir resumed>)                 = 0
7 write(5<{DRAFT}>, "PAR1\\0) = 7", 4) = 4
7 fsync(5<{DRAFT}> <unfinished ...>
8 write(3<anon_inode:[eventfd]>, "\\1", 8)  = 8
7 <... fsync resumed>)                 = 0
7 rename("{DRAFT}", "{FILE}") = 0
7 fsync(5<{ROOT}/data/t-1/pt=a>)    = 0
7 fsync(5<{ROOT}/data/t-1>)         = 0
7 fsync(5<{ROOT}/data>)             = 0
7 pwrite64(4<{WAL}>, "\\244pathpt=a/s-0.0-1.parquet\\243", 24, 32 <unfinished ...>
7 <... pwrite64 resumed>) = 24
7 fdatasync(4<{WAL}>) = 0
8 write(9<TCP:[127.0.0.1:80->127.0.0.1:81]>, "HTTP/1.1 200 OK\\r\\n", 17) = 17
8 write(9<TCP:[127.0.0.1:80->127.0.0.1:81]>, "{{}}", 2) = 2
7 unlink("{ROOT}/data/t-1/pt=a/s-0.0-0.parquet") = 0
7 +++ exited with 0 +++
""".splitlines()


def problems(lines: list[str]) -> list[str]:
    events = parse(lines)
    named, told = unsynced_names(events, [FILE], ROOT, WAL), unsynced_answers(events, WAL, 0)
    return named + told + early_removals(events, ROOT / "data", WAL)


def number_of(part: str) -> int:
    return next(number for number, line in enumerate(GOOD) if part in line)


def test_a_trace_in_order_passes() -> None:
    assert problems(GOOD) == []
    assert len(answers(parse(GOOD))) == 2
    assert len(removals(parse(GOOD), ROOT / "data")) == 1


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        (f"fsync(5<{ROOT}/data/t-1/pt=a>)", "its directory was not synced"),
        (f"fsync(5<{ROOT}/data/t-1>)", "/lake/data/t-1/pt=a was not durable"),
        (f"fsync(5<{ROOT}/data>)", "/lake/data/t-1 was not durable"),
        ("rename(", "not in its place"),
    ],
)
def test_without_one_call_it_fails(gone: str, told: str) -> None:
    found = problems([line for line in GOOD if gone not in line])
    assert len(found) == 1
    assert told in found[0]


def test_without_the_sync_of_the_file_it_fails() -> None:
    [found] = problems(
        [line for line in GOOD if f"fsync(5<{DRAFT}>" not in line and "fsync resumed" not in line]
    )
    assert "not synced between its last write" in found


def test_without_the_sync_of_the_log_it_fails() -> None:
    rest = [line for line in GOOD if "fdatasync(4" not in line]
    early = list(rest)
    early.insert(number_of("pwrite64(4"), GOOD[number_of("fdatasync(4")])
    for lines in (rest, early):
        answered, removed = problems(lines)
        assert "answered before the log was synced" in answered
        assert "removed before the log was synced" in removed


def test_a_failed_sync_is_none() -> None:
    failed = [
        line.replace("= 0", "= -1 EIO (Input/output error)") if "fsync resumed" in line else line
        for line in GOOD
    ]
    [found] = problems(failed)
    assert "not synced between its last write" in found


@pytest.mark.parametrize(
    ("line", "before", "told"),
    [
        (f"write(5<{DRAFT}>", "rename(", "not synced between its last write"),
        (f"fsync(5<{ROOT}/data/t-1/pt=a>)", "rename(", "its directory was not synced"),
        (f"fsync(5<{ROOT}/data/t-1/pt=a>)", "pwrite64 resumed", "its directory was not synced"),
        (f"fsync(5<{ROOT}/data/t-1>)", "mkdir resumed", "/lake/data/t-1/pt=a was not durable"),
        ("fdatasync(4", "unlink(", "answered before the log was synced"),
        ("unlink(", "fdatasync(4", "removed before the log was synced"),
    ],
)
def test_at_the_wrong_time_is_as_good_as_never(line: str, before: str, told: str) -> None:
    lines = list(GOOD)
    moved = lines.pop(number_of(line))
    target = next(number for number, each in enumerate(lines) if before in each)
    lines.insert(target, moved)
    found = problems(lines)
    assert len(found) == 1
    assert told in found[0]


def test_a_file_no_transaction_names_is_told() -> None:
    assert problems([line for line in GOOD if "pwrite64" not in line]) == [f"{FILE}: no transaction names it"]
