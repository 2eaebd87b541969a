"""Uploaded bodies that are compressed as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as pa

from maxlake.protocol.errors import BadRequestError, ErrorCode

if TYPE_CHECKING:
    from maxlake.server.upload import UploadBody

#: Bytes of a body read at a time, at least.
_READ_AHEAD = 256 * 1024


def body_reader(body: UploadBody, codec: str | None) -> Callable[[int], bytes]:
    """Return what reads a body, decompressed by an Arrow codec; bytes that cannot be are ``DATA_ERROR``."""
    file = _BodyFile(body)
    if codec is None:
        return file.read
    stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), codec)

    def read(size: int) -> bytes:
        try:
            return stream.read(size)
        except ConnectionError:  # the sender is gone, which says nothing about the bytes
            raise
        except (pa.ArrowException, OSError) as error:
            raise BadRequestError(
                ErrorCode.DATA_ERROR, f"the body is not one whole {codec} stream: {error}"
            ) from error

    return read


class _BodyFile:
    """A body as a file: what is small is read from a buffer, because each look at the body costs a lock."""

    closed = False

    def __init__(self, body: UploadBody) -> None:
        self._body = body
        self._buffer = memoryview(bytearray(_READ_AHEAD))
        self._ahead = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes, fewer only at the end."""
        if size <= len(self._ahead):
            taken, self._ahead = bytes(self._ahead[:size]), self._ahead[size:]
            return taken
        made = memoryview(bytearray(size))
        filled = len(self._ahead)
        made[:filled], self._ahead = self._ahead, memoryview(b"")
        while filled < size:
            if size - filled >= _READ_AHEAD:
                count = self._body.readinto(made[filled:])
            else:
                count = self._body.readinto(self._buffer)
                taken = self._buffer[: min(count or 0, size - filled)]
                made[filled : filled + len(taken)] = taken
                self._ahead = self._buffer[len(taken) : count or 0]
                count = len(taken) if count else count
            if count == 0:
                break
            filled += count or 0
        return bytes(made[:filled])
