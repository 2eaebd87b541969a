"""What an upload has sent, kept so that it can be sent again."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

from maxlake.client.errors import UploadNotKeptError
from maxlake.protocol.limits import (
    CLIENT_SPOOL_BYTES,
    CLIENT_SPOOL_MEMORY,
    CLIENT_UPLOAD_AHEAD,
    CLIENT_UPLOAD_CHUNK,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maxlake.client.errors import ClientError
    from maxlake.client.memory_budget import MemoryReservation
    from maxlake.client.retry_budget import RetryBudget


class UploadSpool:
    """The body of one upload: CLIENT_SPOOL_MEMORY bytes in memory as long as ``memory`` has room, else in a
    temporary file.

    One of more than CLIENT_SPOOL_BYTES is not kept, nor one that the disk does not take: it is sent once.
    ``budget`` is for sending it again.
    """

    def __init__(self, budget: RetryBudget, memory: MemoryReservation) -> None:
        self._budget = budget
        self._memory = memory
        self._in_memory = True
        self._file: tempfile.SpooledTemporaryFile[bytes] | None = tempfile.SpooledTemporaryFile()  # noqa: SIM115 - as long as the upload
        #: Bytes of the body so far, kept or not.
        self.size = 0
        self._size_at_failure = 0
        self._why_not_kept = ""

    def keep(self, data: memoryview) -> None:
        """Add the next bytes."""
        self.size += data.nbytes
        if self._file is None:
            return
        if self.size > CLIENT_SPOOL_BYTES:
            self._why_not_kept = f"it has more than the {CLIENT_SPOOL_BYTES} bytes that are kept"
            self.close()
            return
        try:
            if self._in_memory and (
                self.size > CLIENT_SPOOL_MEMORY or not self._memory.try_grow(data.nbytes)
            ):
                self._file.rollover()
                self._in_memory = False
                self._memory.free()
            self._file.write(data)
        except OSError as error:
            # The upload itself needs no disk, and may well succeed without.
            self._why_not_kept = f"no copy could be kept ({error})"
            self.close()

    def wait(self, error: ClientError) -> None:
        """Wait before everything is sent again.

        Raises ``error`` if that is no use or comes too late, ``UploadNotKeptError`` if it cannot be done.
        """
        came = self.size - self._size_at_failure
        # What was written last may wait here still: only more than that is known to have gone out.
        if came > CLIENT_UPLOAD_AHEAD or (came and self._budget.is_over):
            self._budget.progressed()
        self._size_at_failure = self.size
        self._budget.wait(error)
        if self._file is None:
            raise UploadNotKeptError(
                f"{error}. The upload cannot be sent again: {self._why_not_kept}. "
                "Write its rows anew, in several uploads.",
                code="UploadNotKept",
                request_id=error.request_id,
                status_code=error.status_code,
            ) from error

    def pieces(self) -> Iterator[memoryview]:
        """Yield all bytes from the first, in pieces of a size to be sent."""
        assert self._file is not None
        self._file.seek(0)
        while piece := self._file.read(CLIENT_UPLOAD_CHUNK):
            yield memoryview(piece)

    def close(self) -> None:
        """Forget the bytes."""
        if self._file is not None:
            with suppress(OSError):  # what could not be written before
                self._file.close()
            self._file = None
            self._memory.free()
