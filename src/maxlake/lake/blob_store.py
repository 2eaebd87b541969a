"""Blobs at rest: small ones in packs, large ones a file each, durable before anybody knows of them.

Files are named ``blobs/<yyyymm>/<session>/<stream>-<n>.pack``; that name without the suffix is an *object*.
A file needs no temporary name: nothing lists the directory to find blobs, only references lead to them.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import BinaryIO, Self

import google_crc32c

from maxlake.failpoints import BlobPoint, reach
from maxlake.lake import durable
from maxlake.protocol.blob_references import BlobLocation
from maxlake.protocol.errors import DamageError, ErrorCode
from maxlake.protocol.limits import (
    BLOB_PIECE,
    MAX_IDLE_PACKS,
    MAX_PACKED_BLOB,
    PACK_BYTES,
    PACK_IDLE_TIME,
)

SUFFIX = ".pack"

_log = logging.getLogger(__name__)


class _ObjectFile:
    """A file being written, by one thread at a time. ``size`` is where the next blob goes."""

    def __init__(self, root: Path, object_name: str) -> None:
        self.object_name = object_name
        self.size = 0
        self.used_at = time.monotonic()
        self._path = root / f"{object_name}{SUFFIX}"
        # The root itself is made by the first blob.
        durable.make_directory(self._path.parent, within=root.parent)
        self.descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        self._named = False

    def append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self.descriptor, view)
            view = view[written:]
            self.size += written

    def sync(self) -> None:
        reach(BlobPoint.BEFORE_BLOB_SYNC)
        os.fsync(self.descriptor)
        if not self._named:
            durable.sync_directory(self._path.parent)
            self._named = True
        reach(BlobPoint.AFTER_BLOB_SYNC)
        self.used_at = time.monotonic()

    def cut(self, size: int) -> None:
        """Forget what follows ``size``."""
        os.ftruncate(self.descriptor, size)
        os.lseek(self.descriptor, size, os.SEEK_SET)
        self.size = size

    def close(self) -> None:
        os.close(self.descriptor)

    def discard(self) -> None:
        self._path.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Use:
    """A file, and how long it was before this upload."""

    file: _ObjectFile
    start: int

    def undo(self) -> bool:
        """Take back what was added; tell whether the file can still be used."""
        if not self.start:
            self.file.discard()
            return False
        try:
            self.file.cut(self.start)
        except OSError:  # what follows the last blob is in nobody's way, but nothing more goes there
            _log.exception("a pack could not be cut back")
            return False
        return True


class BlobUpload:
    """Stores the blobs of one request; :meth:`finish` makes all of them durable at once.

    A context manager: without ``finish`` nothing is left of them.
    """

    def __init__(self, store: BlobStore, session_id: str, stream_id: str) -> None:
        self._store = store
        self._key = (session_id, stream_id)
        self._uses: list[_Use] = []
        self._pack: _ObjectFile | None = None
        self._finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for use in self._uses:
            usable = self._finished or use.undo()
            if usable and use.file is self._pack:
                self._store.give_back(self._key, use.file)
            else:
                use.file.close()

    def store(self, pieces: Iterable[bytes]) -> BlobLocation:
        """Store one blob that comes in pieces; only small ones are ever held whole."""
        small: list[bytes] = []
        size = crc = 0
        large: _ObjectFile | None = None
        for piece in pieces:
            size += len(piece)
            crc = google_crc32c.extend(crc, piece)
            if large is not None:
                large.append(piece)
                continue
            small.append(piece)
            if size >= MAX_PACKED_BLOB:
                large = self._use(self._store.create(self._key))
                large.append(b"".join(small))
                small.clear()
        if large is not None:
            return BlobLocation(large.object_name, 0, size, crc)
        if self._pack is None or self._pack.size >= PACK_BYTES:
            self._pack = self._use(self._store.take(self._key))
        offset = self._pack.size
        self._pack.append(b"".join(small))
        return BlobLocation(self._pack.object_name, offset, size, crc)

    def _use(self, file: _ObjectFile) -> _ObjectFile:
        self._uses.append(_Use(file, file.size))
        return file

    def read(self, blob: BlobLocation) -> Iterator[bytes]:
        """Yield one of these blobs again."""
        (file,) = (use.file for use in self._uses if use.file.object_name == blob.object_name)
        return read_checked(file.descriptor, blob)

    def finish(self) -> None:
        """Make every blob durable."""
        for use in self._uses:
            use.file.sync()
        self._finished = True


class BlobStore:
    """The blobs of one project. Thread-safe; several processes may write, each its own files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._idle: OrderedDict[tuple[str, str], _ObjectFile] = OrderedDict()
        self._lock = Lock()

    def upload(self, session_id: str, stream_id: str) -> BlobUpload:
        """Begin to store the blobs of one request; both ids can be part of file names."""
        return BlobUpload(self, session_id, stream_id)

    def create(self, key: tuple[str, str]) -> _ObjectFile:
        """Return a new file for a session's stream."""
        session_id, stream_id = key
        month = f"{datetime.now(UTC):%Y%m}"
        return _ObjectFile(self.root, f"{month}/{session_id}/{stream_id}-{secrets.token_hex(6)}")

    def take(self, key: tuple[str, str]) -> _ObjectFile:
        """Return a pack for the next blobs of a session's stream, which nobody else writes to meanwhile."""
        with self._lock:
            pack = self._idle.pop(key, None)
        if pack is not None and time.monotonic() - pack.used_at < PACK_IDLE_TIME:
            return pack
        if pack is not None:
            pack.close()
        return self.create(key)

    def give_back(self, key: tuple[str, str], pack: _ObjectFile) -> None:
        """Keep a pack for the next blobs, or close it if it is full or there are many."""
        closed = pack
        with self._lock:
            if pack.size < PACK_BYTES and key not in self._idle:
                self._idle[key] = pack
                if len(self._idle) <= MAX_IDLE_PACKS:
                    return
                _, closed = self._idle.popitem(last=False)
        closed.close()

    def close(self) -> None:
        """Close every file."""
        with self._lock:
            while self._idle:
                self._idle.popitem()[1].close()

    def path(self, object_name: str) -> Path:
        """Return the file of an object."""
        return self.root / f"{object_name}{SUFFIX}"

    def has(self, object_name: str) -> bool:
        """Tell whether the file of an object is there."""
        return self.path(object_name).is_file()

    def touch(self, object_name: str) -> bool:
        """Keep an object for another while: rows are about to refer to it. False if it is gone."""
        with suppress(FileNotFoundError):
            os.utime(self.path(object_name))
            return True
        return False


class BlobReader:
    """Reads blobs one after the other; those of one object without opening it again. For one thread."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._object_name = ""
        self._file: BinaryIO | None = None

    def read(self, blob: BlobLocation) -> Iterator[bytes]:
        """Yield a blob in pieces, the last one only after its checksum was found right.

        Raises DamageError if the file is missing or short, or the blob is not what was stored.
        """
        if self._file is None or blob.object_name != self._object_name:
            self.close()
            try:
                self._file = self._store.path(blob.object_name).open("rb", buffering=0)
            except FileNotFoundError as error:
                raise _damage(blob, "its file is missing") from error
            self._object_name = blob.object_name
        yield from read_checked(self._file.fileno(), blob)

    def close(self) -> None:
        """Close the file that is open."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read_checked(descriptor: int, blob: BlobLocation) -> Iterator[bytes]:
    """Yield a blob of an open file in pieces; raises as :meth:`BlobReader.read`."""
    position, left, crc = blob.offset, blob.length, 0
    while left:
        piece = os.pread(descriptor, min(left, BLOB_PIECE), position)
        if not piece:
            raise _damage(blob, f"{left} of its {blob.length} bytes are missing")
        position += len(piece)
        left -= len(piece)
        crc = google_crc32c.extend(crc, piece)
        if not left and crc != blob.crc32c:
            raise _damage(blob, "its checksum is wrong")
        yield piece


def _damage(blob: BlobLocation, problem: str) -> DamageError:
    return DamageError(
        ErrorCode.INTERNAL_SERVER_ERROR,
        f"a stored blob is damaged: {problem}",
        where=f"object {blob.object_name} at {blob.offset}",
    )
