"""What an upload has sent, kept so that it can be sent again."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from maxlake.protocol.limits import CLIENT_SPOOL_BYTES, CLIENT_SPOOL_MEMORY, CLIENT_UPLOAD_CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maxlake.client.retry_budget import RetryBudget


class UploadSpool:
    """The body of one upload: CLIENT_SPOOL_MEMORY bytes in memory, more in a temporary file.

    One of more than CLIENT_SPOOL_BYTES is not kept: it is sent once. ``budget`` is for sending it again.
    """

    def __init__(self, budget: RetryBudget) -> None:
        self.budget = budget
        self._file: tempfile.SpooledTemporaryFile[bytes] | None = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - as long as the upload
            CLIENT_SPOOL_MEMORY
        )
        self._size = 0

    @property
    def is_whole(self) -> bool:
        """Whether all that was kept is still here."""
        return self._file is not None

    def keep(self, data: memoryview) -> None:
        """Add the next bytes."""
        if self._file is None:
            return
        self._size += data.nbytes
        if self._size > CLIENT_SPOOL_BYTES:
            self.close()
        else:
            self._file.write(data)

    def pieces(self) -> Iterator[memoryview]:
        """Yield all bytes from the first, in pieces of a size to be sent."""
        assert self._file is not None
        self._file.seek(0)
        while piece := self._file.read(CLIENT_UPLOAD_CHUNK):
            yield memoryview(piece)

    def close(self) -> None:
        """Forget the bytes."""
        if self._file is not None:
            self._file.close()
            self._file = None
