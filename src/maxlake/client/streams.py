"""Row data as files: reading one answer, writing one request body. Both carry an Arrow IPC stream."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NoReturn

from maxlake.client import parsers
from maxlake.client.arrow_frames import ArrowFrameError, ArrowFrames
from maxlake.client.buffers import BufferRing
from maxlake.client.enums import Status
from maxlake.client.errors import MalformedAnswerError, TruncatedStreamError
from maxlake.client.upload_writer import UploadWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from maxlake.client.download import Download
    from maxlake.client.responses import WriteStreamResponse
    from maxlake.client.upload import Upload

#: What ``read`` allocates at a time: the caller may ask for more than there is.
_READ_PIECE = 4 * 1024 * 1024


class StreamReader(io.IOBase):
    """Rows being received, as the bytes of an Arrow IPC stream.

    ``download`` performs the request and returns its answer; an error of the service is raised here.
    Reading raises ``TruncatedStreamError`` (an ``ODPSError``) if the rows end before their end
    marker, again at every further read.
    """

    def __init__(self, download: Callable[[], Download]) -> None:
        self._error: BaseException | None = None
        self._source: Download | None = None
        self._frames = ArrowFrames()
        self._ring = BufferRing()
        self._complete = False
        self._request_id: str | None = None
        self._source = download()
        self._request_id = self._source.request_id

    def read(self, nbytes: int | None = None) -> bytes:
        """Return the next ``nbytes`` bytes, fewer only at the end; all that is left for ``None`` or -1."""
        pieces: list[memoryview] = []
        left = nbytes if nbytes is not None and nbytes >= 0 else None
        while left is None or left > 0:
            size = _READ_PIECE if left is None else min(left, _READ_PIECE)
            piece = memoryview(bytearray(size))
            count = self._fill(piece)
            pieces.append(piece[:count])
            if count < size:
                break
            left = None if left is None else left - count
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def read_buffer(self, nbytes: int) -> memoryview:
        """Return the next ``nbytes`` bytes in recycled memory; pyarrow prefers this to ``read``."""
        view = self._ring.take(nbytes)
        return view[: self._fill(view)]

    def readinto(self, buffer: Any) -> int:
        """Receive into ``buffer``; 0 only at the end."""
        if self.closed:
            raise ValueError("read of a closed reader")
        if self._error is not None:
            raise self._error
        if self._complete or self._source is None:
            return 0
        view = memoryview(buffer).cast("B")
        try:
            count = self._source.readinto(view)
            self._follow(self._source, view[:count], at_end=count == 0 and len(view) > 0)
        except BaseException as error:
            # Also after an interrupt: bytes may be lost, going on would give wrong rows.
            self._error = error
            self._source.abort()
            raise
        return count

    def get_status(self) -> Status:
        """Return ``Status.OK`` once everything was read, ``Status.RUNNING`` before and after a failure."""
        return Status.OK if self._complete else Status.RUNNING

    def get_request_id(self) -> str | None:
        """Return the request id of the answer."""
        return self._request_id

    def readable(self) -> bool:
        """Return whether there may be more to read."""
        return not (self.closed or self._complete)

    def close(self) -> None:
        """Stop reading. May be called at any time; what was not read is not waited for."""
        if not self.closed and self._source is not None:
            self._source.abort()
        super().close()

    def _fill(self, view: memoryview) -> int:
        filled = 0
        while filled < len(view):
            count = self.readinto(view[filled:])
            if count == 0:
                break
            filled += count
        return filled

    def _follow(self, source: Download, data: memoryview, *, at_end: bool) -> None:
        try:
            self._frames.feed(data)
        except ArrowFrameError as error:
            source.abort()
            self._refuse(source, f"{error}", error)
        if self._frames.ended:
            if source.readinto(memoryview(bytearray(1))):
                source.abort()
                self._refuse(source, "bytes follow the end of the Arrow stream", None)
            self._complete = True
        elif at_end:
            raise TruncatedStreamError(
                "the rows end before their end marker: the service could not send them all",
                code="TruncatedStream",
                request_id=self._request_id,
                status_code=source.status,
            )

    def _refuse(self, source: Download, what: str, cause: Exception | None) -> NoReturn:
        raise MalformedAnswerError(
            f"the service answered 200, but {what}",
            code="MalformedAnswer",
            request_id=self._request_id,
            status_code=source.status,
        ) from cause


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
        super().__init__(upload)
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
