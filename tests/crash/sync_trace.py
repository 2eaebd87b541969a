"""What strace saw, and whether everything was durable before anyone was told of it (promise P2).

A call begins at one line of the trace and ends at that or a later one, for other threads go on
meanwhile. One thing is before another only if it ended before the other began.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from maxlake.lake.durable import TEMPORARY_PREFIX, temporary_path

WRITES = {"write", "pwrite64", "writev", "pwritev", "pwritev2"}
SENDS = {"write", "writev", "sendto", "sendmsg"}
SYNCS = {"fsync", "fdatasync"}
RENAMES = {"rename", "renameat", "renameat2"}
REMOVES = {"unlink", "unlinkat"}
MAKES_DIRECTORY = {"mkdir", "mkdirat"}

_LINE = re.compile(r"(\d+)\s+(.*)", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_RESULT = re.compile(r"\)\s+= (-?\d+)(?!.*\)\s+= -?\d)", re.DOTALL)
_DESCRIPTOR = re.compile(r"\w+\(\d+<([^>]*)>")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Event:
    """One successful system call. ``file`` is what its descriptor is open on."""

    call: str
    text: str
    begin: int
    end: int

    @property
    def file(self) -> str:
        found = _DESCRIPTOR.match(self.text)
        return found.group(1) if found else ""

    @property
    def paths(self) -> list[str]:
        return _QUOTED.findall(self.text)


def parse(lines: Iterable[str]) -> list[Event]:
    """Read the output of ``strace -f -yy -o``; failed calls are left out."""
    events = list[Event]()
    under_way = dict[str, tuple[int, str]]()
    for number, line in enumerate(lines):
        pid, text = _LINE.fullmatch(line.rstrip("\n")).groups()
        begin = number
        if text.endswith(_UNFINISHED):
            under_way[pid] = number, text.removesuffix(_UNFINISHED)
            continue
        if resumed := _RESUMED.fullmatch(text):
            begin, head = under_way.pop(pid)
            text = head + resumed.group(2)
        result = _RESULT.search(text)
        if result and int(result.group(1)) >= 0:
            events.append(Event(text.partition("(")[0], text, begin, number))
    return events


def unsynced_names(events: Sequence[Event], files: Iterable[Path], within: Path, wal: Path) -> list[str]:
    """Tell which files the database named before they, and the way to them below ``within``, were durable.

    ``wal`` is the database's log.
    """
    return [problem for file in files for problem in _problems(events, file, within, wal)]


def _problems(events: Sequence[Event], file: Path, within: Path, wal: Path) -> Iterator[str]:
    named = named_at(events, file, wal)
    if named is None:
        yield f"{file}: no transaction names it"
        return
    earlier = [event for event in events if event.end < named]
    places = {str(file), str(temporary_path(file))}
    written = [event for event in events if event.call in WRITES and event.file in places]
    if not written:
        yield f"{file}: never written"
    elif not _synced(earlier, places, max(event.end for event in written)):
        yield f"{file}: not synced between its last write and the transaction that names it"
    renamed = [event.end for event in earlier if event.call in RENAMES and event.paths[-1:] == [str(file)]]
    if not renamed:
        yield f"{file}: not in its place before the transaction that names it"
    elif not _synced(earlier, {str(file.parent)}, renamed[-1]):
        yield f"{file}: its directory was not synced before the transaction that names it"
    for directory in file.parents[: file.parents.index(within)]:
        made = [
            event.end for event in events if event.call in MAKES_DIRECTORY and event.paths == [str(directory)]
        ]
        if made and not _synced(earlier, {str(directory.parent)}, made[-1]):
            yield f"{file}: {directory} was not durable before the transaction that names the file"


def named_at(events: Sequence[Event], file: Path, wal: Path) -> int | None:
    """Where the first write to the database's log begins that names ``file``, by partition and name."""
    name = f"{file.parent.name}/{file.name}"
    return next(
        (
            event.begin
            for event in events
            if event.call in WRITES and event.file == str(wal) and name in event.text
        ),
        None,
    )


def _synced(events: Iterable[Event], places: set[str], since: int) -> bool:
    return any(event.call in SYNCS and event.file in places and event.begin > since for event in events)


def answers(events: Sequence[Event]) -> list[Event]:
    """The beginnings of successful answers on TCP connections."""
    return [
        event
        for event in events
        if event.call in SENDS and event.file.startswith("TCP") and '"HTTP/1.1 2' in event.text
    ]


def removals(events: Sequence[Event], data: Path) -> list[Event]:
    """The removals of complete files below a directory."""
    return [
        event
        for event in events
        if event.call in REMOVES
        and Path(event.paths[-1]).is_relative_to(data)
        and not Path(event.paths[-1]).name.startswith(TEMPORARY_PREFIX)
    ]


def early_removals(events: Sequence[Event], data: Path, wal: Path) -> list[str]:
    """Tell which files were removed before what had been written to the log was synced.

    One request at a time must have been served: what is in the log says that nobody needs the file.
    """
    return [
        f"line {event.begin + 1}: removed before the log was synced"
        for event in removals(events, data)
        if not _log_is_synced(events, wal, event.begin)
    ]


def unsynced_answers(events: Sequence[Event], wal: Path, since: int) -> list[str]:
    """Tell which answers from line ``since`` on left before what was written to the log was synced.

    From there on one request at a time must have been served: whatever is in the log belongs to it.
    """
    return [
        f"line {answer.begin + 1}: answered before the log was synced"
        for answer in answers(events)
        if answer.begin >= since and not _log_is_synced(events, wal, answer.begin)
    ]


def _log_is_synced(events: Sequence[Event], wal: Path, moment: int) -> bool:
    """Tell if all that was written to the log by then was synced by then."""
    written = [
        event.end
        for event in events
        if event.call in WRITES and event.file == str(wal) and event.begin < moment
    ]
    earlier = [event for event in events if event.end < moment]
    return not written or _synced(earlier, {str(wal)}, written[-1])
