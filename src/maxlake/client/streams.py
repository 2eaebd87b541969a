"""Row data as files: reading one answer, writing one request body. Both carry an Arrow IPC stream."""

from __future__ import annotations

import io
from collections import deque
from typing import TYPE_CHECKING, Any

from maxlake.client import parsers
from maxlake.client.arrow_messages import MessageKind
from maxlake.client.enums import Status
from maxlake.client.memory_budget import MemoryBudget
from maxlake.client.resumable_rows import ResumableRows, UnresumableRows
from maxlake.client.retry_budget import RetryBudget
from maxlake.client.upload_writer import UploadWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from maxlake.client.download import Download
    from maxlake.client.responses import WriteStreamResponse
    from maxlake.client.upload import Upload
    from maxlake.client.upload_spool import UploadSpool


class StreamReader(io.IOBase):
    """Rows being received, as the bytes of an Arrow IPC stream.

    ``download`` performs the request and returns its answer; an error of the service is raised here.
    Reading raises ``TruncatedStreamError`` (an ``ODPSError``) if the rows end before their end
    marker, again at every further read.
    """

    def __init__(self, download: Callable[[], Download]) -> None:
        self._receive(UnresumableRows(download, RetryBudget(0), MemoryBudget().reservation()))

    @classmethod
    def of_rows(cls, rows: ResumableRows) -> Self:
        """Return a reader of rows that survive broken connections."""
        made = cls.__new__(cls)
        made._receive(rows)
        return made

    def _receive(self, rows: ResumableRows) -> None:
        self._rows = rows
        self._error: BaseException | None = None
        self._pieces: deque[memoryview] = deque()
        self._complete = False

    def read(self, nbytes: int | None = None) -> bytes:
        """Return the next ``nbytes`` bytes, fewer only at the end; all that is left for ``None`` or -1."""
        left = nbytes if nbytes is not None and nbytes >= 0 else None
        pieces: list[memoryview] = []
        while left is None or left > 0:
            piece = self._next_piece(left)
            if piece is None:
                break
            pieces.append(piece)
            left = None if left is None else left - len(piece)
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def read_buffer(self, nbytes: int) -> memoryview:
        """Return the next ``nbytes`` bytes in recycled memory; pyarrow prefers this to ``read``."""
        piece = self._next_piece(nbytes)
        if piece is None or len(piece) == nbytes:
            return memoryview(b"") if piece is None else piece
        view = self._rows.ring.take(nbytes)
        view[: len(piece)] = piece
        filled = len(piece)
        while filled < nbytes and (count := self.readinto(view[filled:])):
            filled += count
        return view[:filled]

    def readinto(self, buffer: Any) -> int:
        """Receive into ``buffer``; 0 only at the end."""
        view = memoryview(buffer).cast("B")
        piece = self._next_piece(len(view))
        if piece is None:
            return 0
        view[: len(piece)] = piece
        return len(piece)

    def get_status(self) -> Status:
        """Return ``Status.OK`` once everything was read, ``Status.RUNNING`` before and after a failure."""
        return Status.OK if self._complete and not self._pieces else Status.RUNNING

    def get_request_id(self) -> str | None:
        """Return the request id of the answer, of the latest where the connection broke."""
        return self._rows.request_id

    def readable(self) -> bool:
        """Return whether there may be more to read."""
        return not (self.closed or self.get_status() is Status.OK)

    def close(self) -> None:
        """Stop reading. May be called at any time; what was not read is not waited for."""
        if not self.closed:
            self._rows.abort()
        super().close()

    def _next_piece(self, most: int | None) -> memoryview | None:
        """Return the next bytes, at most so many, without copying; None at the end."""
        if self.closed:
            raise ValueError("read of a closed reader")
        if self._error is not None:
            raise self._error
        if most == 0:
            return None
        if not self._pieces and not self._complete:
            self._fetch()
        if not self._pieces:
            return None
        piece = self._pieces.popleft()
        if most is not None and len(piece) > most:
            self._pieces.appendleft(piece[most:])
            piece = piece[:most]
        return piece

    def _fetch(self) -> None:
        try:
            message = self._rows.next()
        except BaseException as error:
            # Also after an interrupt: bytes may be lost, going on would give wrong rows.
            self._error = error
            raise
        self._pieces.append(memoryview(message.head))
        if message.body:
            self._pieces.append(message.body)
        self._complete = message.kind is MessageKind.END


class StreamWriter(UploadWriter):
    """Rows being sent, as the bytes of an Arrow IPC stream.

    ``upload`` begins the request; it is called by the first write that sends. ``on_route_token`` is
    given the route token of the answer. A failure is raised once, by the write or finish that learns
    of it, and kept in ``error``. Leaving a ``with`` block finishes; closing before finishing, or
    leaving it by an exception, discards what was sent.
    """

    def __init__(
        self, upload: Callable[[], Upload], on_route_token: Callable[[str], object] | None = None
    ) -> None:
        self._prepare(upload, on_route_token, None)

    @classmethod
    def of_rows_stored_once(
        cls,
        upload: Callable[[], Upload],
        spool: UploadSpool,
        on_route_token: Callable[[str], object] | None = None,
    ) -> Self:
        """Return a writer that sends its rows again when the connection breaks."""
        made = cls.__new__(cls)
        made._prepare(upload, on_route_token, spool)
        return made

    def _prepare(
        self,
        upload: Callable[[], Upload],
        on_route_token: Callable[[str], object] | None,
        spool: UploadSpool | None,
    ) -> None:
        super().__init__(upload, spool)
        self._on_route_token = on_route_token
        self._message: str | None = None
        self._response: WriteStreamResponse | None = None

    def finish(self) -> tuple[str | None, bool]:
        """End the upload; return the commit message and ``True``.

        After a failure that was raised already, and after closing, returns ``(None, False)``. Called
        again, returns what it returned first.
        """
        answered = self.complete(parsers.uploaded)
        if answered is not None:
            self._message, self._response = answered
            token = self.get_route_token()
            if token is not None and self._on_route_token is not None:
                self._on_route_token(token)
        return self._message, self.get_status() is Status.OK

    def get_route_token(self) -> str | None:
        """Return the route token of the answer; ``None`` before finish, or if it carried none."""
        return parsers.route_token_of(self._headers)

    def get_write_stream_response(self) -> WriteStreamResponse | None:
        """Return the answer's exactly-once data; ``None`` before finish, or if it held none."""
        if self._response is None or self._response.exactly_once_row_offset is None:
            return None
        return self._response
