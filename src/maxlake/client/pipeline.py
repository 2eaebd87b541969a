"""Sending ahead: one thread makes the body of an upload, another sends it."""

from __future__ import annotations

import os
from contextlib import suppress
from enum import Enum, auto
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from maxlake.client.errors import BrokenConnectionError
from maxlake.client.upload import chunk_of
from maxlake.protocol.limits import CLIENT_UPLOAD_AHEAD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maxlake.client.exchange import Answer
    from maxlake.client.upload import Upload


class _Order(Enum):
    """What the sender is told besides chunks: to leave the upload to the caller, or to drop it."""

    RELEASE = auto()
    ABORT = auto()


class Pipeline:
    """Sends the chunks of ``upload``; what the service does not take at once, from another thread.

    The caller's thread sends as long as the service keeps up: nothing is copied then, and no thread
    begun. What waits is at most CLIENT_UPLOAD_AHEAD bytes, and as much as the upload's memory has room for.

    For one caller's thread. All waiting is for the two queues, which need no lock: whoever drops an
    unfinished writer, be it the garbage collector or the end of the interpreter, never waits.
    """

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._memory = upload.memory
        self._process = os.getpid()
        self._chunks: SimpleQueue[list[memoryview] | _Order] = SimpleQueue()
        self._results: SimpleQueue[int | BaseException] = SimpleQueue()
        self._ahead = 0
        self._sending = False

    def send(self, pieces: Sequence[memoryview], *, lent: bool) -> None:
        """Send ``pieces`` as one chunk, or see to it that they are sent; wait while too much is ahead.

        ``lent`` pieces may change afterwards: what has to wait of them is copied. Raises what went
        wrong with this chunk or earlier ones, as ``Upload.send`` does.
        """
        self._check_process()
        chunk = chunk_of(pieces)
        size = _size(chunk)
        self._wait_until_ahead(CLIENT_UPLOAD_AHEAD - size)
        if not self._ahead:
            chunk = self._upload.send(chunk, leave=CLIENT_UPLOAD_AHEAD)
            size = _size(chunk)
        if not size:
            return
        if not self._memory.try_grow(size):
            self._wait_until_ahead(0)
            self._upload.send(chunk)
            return
        if not self._sending:
            # A daemon: an upload that nobody finishes does not keep the interpreter.
            work = (self._upload, self._chunks, self._results)
            Thread(target=_send_all, args=work, name="maxlake-upload", daemon=True).start()
            self._sending = True
        self._ahead += size
        self._chunks.put([memoryview(bytes(piece)) for piece in chunk] if lent else chunk)

    def finish(self, pieces: Sequence[memoryview]) -> Answer:
        """Send ``pieces`` last and return the answer; raises as ``send`` and ``Upload.finish``."""
        self._check_process()
        self._wait_until_ahead(0)
        if self._sending:
            self._chunks.put(_Order.RELEASE)
            self._sending = False
        self._upload.send(chunk_of(pieces))
        return self._upload.finish()

    def abort(self) -> None:
        """Drop the upload at once, without waiting for the sender."""
        self._memory.free()
        if self._sending and self._process == os.getpid():
            self._sending = False
            self._chunks.put(_Order.ABORT)
            self._upload.interrupt()
        else:
            self._upload.abort()

    def _wait_until_ahead(self, limit: int) -> None:
        """Wait until at most ``limit`` bytes are ahead, or nothing; take notice of all that was sent."""
        with suppress(Empty):
            while self._ahead:
                self._account(self._results.get(block=self._ahead > limit))

    def _account(self, result: int | BaseException) -> None:
        if isinstance(result, BaseException):
            self._sending = False
            raise result
        self._ahead -= result

    def _check_process(self) -> None:
        if self._process != os.getpid():
            raise BrokenConnectionError(
                "this upload was begun by the process that forked this one, and only goes on there",
                code="BrokenConnection",
            )


def _send_all(
    upload: Upload,
    chunks: SimpleQueue[list[memoryview] | _Order],
    results: SimpleQueue[int | BaseException],
) -> None:
    """Send ``chunks`` and report the size of each. The pipeline is not referred to: it may be dropped."""
    while not isinstance(chunk := chunks.get(), _Order):
        size = _size(chunk)
        try:
            upload.send(chunk)
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            upload.abort()
            upload.memory.free()
            results.put(error)
            return
        del chunk
        upload.memory.shrink(size)
        results.put(size)
    if chunk is _Order.ABORT:
        upload.abort()


def _size(chunk: list[memoryview]) -> int:
    return sum(piece.nbytes for piece in chunk)
