"""The real server under strace: a blob and its place are synced before its reference is given out (P2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from maxlake.client import BlobWriteItem, StorageApiClient
from tests.crash.sync_trace import MAKES_DIRECTORY, SYNCS, WRITES, Event, answers, parse
from tests.crash.traced_server import traced_server

PROJECT = "demo"


def unsynced_blobs(events: Sequence[Event], files: Sequence[Path], root: Path) -> Iterator[str]:
    """Tell which blobs' files, or directories above them, an answer came too early for.

    One request at a time must have been served: what was written before an answer belongs to it.
    """
    for answer in answers(events):
        earlier = [event for event in events if event.end < answer.begin]
        for file in files:
            written = [event.end for event in earlier if event.call in WRITES and event.file == str(file)]
            if written and not synced(earlier, file, written[-1]):
                yield f"{file}: not synced after its last write"
            made = [event.end for event in earlier if event.call == "openat" and event.paths == [str(file)]]
            if written and not synced(earlier, file.parent, made[0]):
                yield f"{file}: its directory was not synced"
            for directory in file.parents[: file.parents.index(root)]:
                calls = [event for event in earlier if event.call in MAKES_DIRECTORY]
                made = [event.end for event in calls if event.paths == [str(directory)]]
                if written and made and not synced(earlier, directory.parent, made[-1]):
                    yield f"{file}: {directory} was not durable"


def synced(events: Sequence[Event], place: Path, since: int) -> bool:
    return any(event.call in SYNCS and event.file == str(place) and event.begin > since for event in events)


@pytest.mark.crash
@pytest.mark.slow
def test_no_reference_is_given_out_before_its_blob_is_synced(tmp_path: Path, tool) -> None:
    root, trace = tmp_path.resolve() / "root", tmp_path / "trace"
    root.mkdir()
    with traced_server(tool("strace"), root, trace, PROJECT) as odps:
        client = StorageApiClient(odps, odps.create_table("t", "id bigint, data blob"))
        session = client.create_write_session().session_id
        for data in (b"small", b"next in its pack", b"large" * 500_000):
            writer = client.write_blob_stream(session, 0, column_index=1)
            writer.write(data)
            assert writer.finish()
        items = [BlobWriteItem(data, column_index=1) for data in (b"a", b"large" * 300_000, b"b")]
        assert client.write_blob_batch(items, session, 1).blob_references
    with trace.open(errors="replace") as lines:
        events = parse(lines)
    files = sorted((root / "projects" / PROJECT / "blobs").rglob("*.pack"))
    assert len(files) == 4
    assert list(unsynced_blobs(events, files, root)) == []

    # The same trace without the syncs of any one place must not pass.
    for file in files:
        for place in (file, *file.parents[: file.parents.index(root / "projects" / PROJECT) + 1]):
            rest = [event for event in events if not (event.call in SYNCS and event.file == str(place))]
            assert list(unsynced_blobs(rest, files, root)), place
