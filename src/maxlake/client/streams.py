"""Row data as files: reading one answer, writing one request body. Both carry an Arrow IPC stream."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NoReturn

from maxlake.client import parsers
from maxlake.client.arrow_frames import ArrowFrameError, ArrowFrames
from maxlake.client.buffers import BufferRing
from maxlake.client.enums import Status
from maxlake.client.errors import MalformedAnswerError, TruncatedStreamError
from maxlake.client.pipeline import Pipeline
from maxlake.protocol.limits import CLIENT_DIRECT_SEND, CLIENT_UPLOAD_CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

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


class StreamWriter(io.IOBase):
    """Rows being sent, as the bytes of an Arrow IPC stream.

    ``upload`` begins the request; it is called by the first write that sends. ``on_route_token`` is
    given the route token of the answer. A failure is raised once, by the write or finish that learns
    of it, and kept in ``error``. Leaving a ``with`` block finishes; closing before finishing, or
    leaving it by an exception, discards what was sent.
    """

    def __init__(
        self, upload: Callable[[], Upload], on_route_token: Callable[[str], object] | None = None
    ) -> None:
        self.error: BaseException | None = None
        self._begin = upload
        self._pipeline: Pipeline | None = None
        self._on_route_token = on_route_token
        self._pending = bytearray()
        self._result: tuple[str | None, bool] | None = None
        self._headers: dict[str, str] = {}
        self._response: WriteStreamResponse | None = None

    def write(self, data: Any) -> bool:
        """Send ``data``, any contiguous bytes-like object.

        Returns ``True``, or ``False`` if the writer is finished, failed or closed. Raises the
        service's error, or ``BrokenConnectionError``, the moment it is learned of.
        """
        return self._write(data, lent=not isinstance(data, bytes))

    def give(self, data: Any) -> bool:
        """Send ``data``, which nobody ever changes: nothing large is copied. Otherwise as ``write``."""
        return self._write(data, lent=False)

    def finish(self) -> tuple[str | None, bool]:
        """End the upload; return the commit message and ``True``.

        After a failure that was raised already, and after closing, returns ``(None, False)``. Called
        again, returns what it returned first.
        """
        if self._result is not None:
            return self._result
        self._result = (None, False)
        if self.error is not None or self.closed:
            return self._result
        try:
            answer = self._begun().finish([memoryview(self._pending)])
            self._headers = answer.headers
            message, self._response = parsers.uploaded(answer)
        except BaseException as error:
            self._fail(error)
            raise
        self._result = (message, True)
        token = self.get_route_token()
        if token is not None and self._on_route_token is not None:
            self._on_route_token(token)
        return self._result

    def get_status(self) -> Status:
        """Return ``Status.OK`` after a successful finish, else ``Status.RUNNING``."""
        return Status.OK if self._result is not None and self._result[1] else Status.RUNNING

    def get_request_id(self) -> str | None:
        """Return the request id of the answer; ``None`` before there is one."""
        return parsers.request_id_of(self._headers) or getattr(self.error, "request_id", None)

    def get_route_token(self) -> str | None:
        """Return the route token of the answer; ``None`` before finish, or if it carried none."""
        return parsers.route_token_of(self._headers)

    def get_write_stream_response(self) -> WriteStreamResponse | None:
        """Return the answer's exactly-once data; ``None`` before finish, or if it held none."""
        if self._response is None or self._response.exactly_once_row_offset is None:
            return None
        return self._response

    def writable(self) -> bool:
        """Return whether ``write`` still takes data."""
        return not self.closed and self._result is None and self.error is None

    def close(self) -> None:
        """Close the writer; an upload that was not finished is discarded by the service."""
        if self._pipeline is not None:
            self._pipeline.abort()
        super().close()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc_type is None and self.error is None:
                self.finish()
        finally:
            self.close()

    def _write(self, data: Any, *, lent: bool) -> bool:
        if not self.writable():
            return False
        view = memoryview(data).cast("B")
        try:
            if view.nbytes >= CLIENT_DIRECT_SEND:
                self._send([memoryview(self._pending), view], lent=lent)
            else:
                self._pending += view
                if len(self._pending) >= CLIENT_UPLOAD_CHUNK:
                    self._send([memoryview(self._pending)], lent=False)
        except BaseException as error:
            self._fail(error)
            raise
        return True

    def _send(self, pieces: list[memoryview], *, lent: bool) -> None:
        self._begun().send(pieces, lent=lent)
        self._pending = bytearray()

    def _begun(self) -> Pipeline:
        if self._pipeline is None:
            self._pipeline = Pipeline(self._begin())
        return self._pipeline

    def _fail(self, error: BaseException) -> None:
        self.error = error
        self._pending = bytearray()
        if self._pipeline is not None:
            self._pipeline.abort()
