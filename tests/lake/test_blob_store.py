"""Blobs at rest: packed or alone, durable or gone, and never given back changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import google_crc32c
import pytest

from maxlake.lake import blob_store
from maxlake.lake.blob_store import BlobReader, BlobStore
from maxlake.protocol.blob_references import BlobLocation
from maxlake.protocol.errors import DamageError
from maxlake.protocol.limits import MAX_IDLE_PACKS, MAX_PACKED_BLOB

FLIPS = 1200


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    store = BlobStore(tmp_path)
    yield store
    store.close()


def put(store: BlobStore, *blobs: bytes, session: str = "s", stream: str = "0") -> list[BlobLocation]:
    with store.upload(session, stream) as upload:
        places = [upload.store(iter([data[: len(data) // 2], data[len(data) // 2 :]])) for data in blobs]
        upload.finish()
    return places


def get(store: BlobStore, place: BlobLocation) -> bytes:
    with closing(BlobReader(store)) as reader:
        return b"".join(reader.read(place))


def files(store: BlobStore) -> list[Path]:
    return sorted(path for path in store.root.rglob("*") if path.is_file())


def test_small_blobs_share_a_pack_and_large_ones_have_a_file_each(store: BlobStore) -> None:
    small = [bytes([number]) * number for number in range(100)]
    large = [os.urandom(MAX_PACKED_BLOB), os.urandom(3 * MAX_PACKED_BLOB + 1)]
    places = put(store, *small, *large, b"last")
    assert [get(store, place) for place in places] == [*small, *large, b"last"]
    assert len({place.object_name for place in places}) == len(files(store)) == 3
    assert places[1].object_name == places[-1].object_name
    for place, data in zip(places, [*small, *large, b"last"], strict=True):
        assert (place.length, place.crc32c) == (len(data), google_crc32c.value(data))


def test_a_pack_goes_on_with_the_next_upload_of_its_stream(store: BlobStore) -> None:
    places = [put(store, b"x" * 100)[0] for _ in range(50)]
    assert len({place.object_name for place in places}) == 1
    assert [place.offset for place in places] == list(range(0, 5000, 100))
    other = put(store, b"x", stream="1")[0]
    assert other.object_name != places[0].object_name
    assert {get(store, place) for place in places} == {b"x" * 100}


def test_uploads_at_the_same_time_have_packs_of_their_own(store: BlobStore) -> None:
    with store.upload("s", "0") as first, store.upload("s", "0") as second:
        a, b = first.store(iter([b"a"])), second.store(iter([b"b"]))
        first.finish()
        second.finish()
    assert a.object_name != b.object_name
    assert (get(store, a), get(store, b)) == (b"a", b"b")


def test_a_full_pack_is_followed_by_another(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_store, "PACK_BYTES", 1000)
    blobs = [bytes([number]) * 300 for number in range(20)]
    places = put(store, *blobs[:10]) + [put(store, data)[0] for data in blobs[10:]]
    assert [get(store, place) for place in places] == blobs
    assert 5 <= len(files(store)) <= 7
    assert max(path.stat().st_size for path in files(store)) <= 1300


def test_what_is_not_finished_leaves_nothing(store: BlobStore) -> None:
    kept = put(store, b"kept")[0]
    before = {path: path.read_bytes() for path in files(store)}

    def failing() -> Iterator[bytes]:
        yield b"x" * MAX_PACKED_BLOB
        raise ConnectionError

    with store.upload("s", "0") as upload:
        upload.store(iter([b"small"]))
        upload.store(iter([b"y" * MAX_PACKED_BLOB]))
        with pytest.raises(ConnectionError):
            upload.store(failing())
    assert {path: path.read_bytes() for path in files(store)} == before
    again = put(store, b"again")[0]
    assert again.object_name == kept.object_name
    assert (get(store, kept), get(store, again)) == (b"kept", b"again")
    with store.upload("t", "0") as upload:
        upload.store(iter([b"small"]))
        with pytest.raises(ConnectionError):
            upload.store(failing())
    assert {path.parent.name for path in files(store)} == {"s"}


def test_only_so_many_packs_stay_open(store: BlobStore) -> None:
    descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
    places = [put(store, b"x", stream=str(number))[0] for number in range(MAX_IDLE_PACKS + 20)]
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) - descriptors == MAX_IDLE_PACKS
    assert {get(store, place) for place in places} == {b"x"}
    put(store, b"y", stream="0")  # its pack was closed: another is begun
    assert len(files(store)) == MAX_IDLE_PACKS + 21


def test_a_pack_nobody_used_for_long_is_not_taken_up_again(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = put(store, b"x")[0]
    monkeypatch.setattr(blob_store, "PACK_IDLE_TIME", 0)
    assert put(store, b"y")[0].object_name != first.object_name


def test_every_bit_that_flips_is_noticed(store: BlobStore, rng: Random) -> None:
    blobs = [rng.randbytes(rng.choice([1, 50, 4096, 70_000])) for _ in range(30)]
    places = put(store, *blobs, rng.randbytes(2 * MAX_PACKED_BLOB + 7))
    for _ in range(FLIPS):
        place = rng.choice(places)
        path = store.path(place.object_name)
        at = place.offset + rng.randrange(place.length)
        with path.open("r+b") as file:
            file.seek(at)
            before = file.read(1)[0]
            file.seek(at)
            file.write(bytes([before ^ 1 << rng.randrange(8)]))
        got: list[bytes] = []
        with closing(BlobReader(store)) as reader, pytest.raises(DamageError):
            got.extend(reader.read(place))
        assert sum(map(len, got)) < place.length
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes([before]))
    assert [get(store, place) for place in places[:30]] == blobs


def test_a_file_that_is_short_or_missing_is_damage(store: BlobStore) -> None:
    place = put(store, b"x" * 1000)[0]
    os.truncate(store.path(place.object_name), 999)
    with pytest.raises(DamageError, match="1 of its 1000 bytes are missing"):
        get(store, place)
    store.path(place.object_name).unlink()
    assert not store.has(place.object_name)
    assert not store.touch(place.object_name)
    with pytest.raises(DamageError, match="missing"):
        get(store, place)
