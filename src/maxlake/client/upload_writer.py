"""The body of one request as a file that is written to."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, TypeVar

from maxlake.client import parsers
from maxlake.client.enums import Status
from maxlake.client.errors import ClientError
from maxlake.client.pipeline import Pipeline
from maxlake.protocol.limits import CLIENT_DIRECT_SEND, CLIENT_UPLOAD_CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from maxlake.client.exchange import Answer
    from maxlake.client.upload import Upload
    from maxlake.client.upload_spool import UploadSpool

R = TypeVar("R")


class UploadWriter(io.IOBase):
    """Bytes being sent. ``upload`` begins the request; it is called by the first write that sends.

    With a ``spool`` the request is made again, from the first byte, when it fails for a reason that may pass:
    for uploads that the service stores once however often they come.

    A failure is raised once, by the write or the end that learns of it, and kept in ``error``. Leaving a
    ``with`` block finishes; closing before that, or leaving it by an exception, discards what was sent.
    """

    def __init__(self, upload: Callable[[], Upload], spool: UploadSpool | None = None) -> None:
        self.error: BaseException | None = None
        self._begin = upload
        self._spool = spool
        self._pipeline: Pipeline | None = None
        self._pending = bytearray()
        self._status = Status.RUNNING
        self._ended = False
        self._headers: dict[str, str] = {}

    def write(self, data: Any) -> bool:
        """Send ``data``, any contiguous bytes-like object.

        Returns ``True``, or ``False`` if the writer is finished, failed or closed. Raises the
        service's error, or ``BrokenConnectionError``, the moment it is learned of.
        """
        return self._write(data, lent=not isinstance(data, bytes))

    def give(self, data: Any) -> bool:
        """Send ``data``, which nobody ever changes: nothing large is copied. Otherwise as ``write``."""
        return self._write(data, lent=False)

    def complete(self, parse: Callable[[Answer], R]) -> R | None:
        """End the upload and return the answer as ``parse`` reads it, whose failures count as the upload's.

        ``None`` if it has ended before, after a failure that was raised already, and after closing.
        """
        if self._ended or self.error is not None or self.closed:
            self._ended = True
            return None
        self._ended = True
        try:
            answer = self._finished()
            self._headers = answer.headers
            parsed = parse(answer)
        except BaseException as error:
            self._fail(error)
            raise
        self._status = Status.OK
        self._forget()
        return parsed

    def finish(self) -> Any:
        """End the upload; a refusal is raised, and nothing else of the answer looked at."""
        return self.complete(lambda _: None)

    def get_status(self) -> Status:
        """Return ``Status.OK`` after a successful finish, else ``Status.RUNNING``."""
        return self._status

    def get_request_id(self) -> str | None:
        """Return the request id of the answer; ``None`` before there is one."""
        return parsers.request_id_of(self._headers) or getattr(self.error, "request_id", None)

    def writable(self) -> bool:
        """Return whether ``write`` still takes data."""
        return not self.closed and not self._ended and self.error is None

    def close(self) -> None:
        """Close the writer; an upload that was not finished is discarded by the service."""
        if self._pipeline is not None:
            self._pipeline.abort()
        self._forget()
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
            if self._spool is not None:
                self._spool.keep(view)
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
        try:
            self._begun().send(pieces, lent=lent)
        except ClientError as error:
            self._begin_again(error)
        self._pending = bytearray()

    def _finished(self) -> Answer:
        while True:
            try:
                return self._begun().finish([memoryview(self._pending)])
            except ClientError as error:
                self._begin_again(error)
            self._pending = bytearray()

    def _begin_again(self, error: ClientError) -> None:
        """Make the request again, up to the last byte written; raise ``error`` if that is no use."""
        spool = self._spool
        while True:
            if self._pipeline is not None:
                self._pipeline.abort()
                self._pipeline = None
            if spool is None:
                raise error
            spool.wait(error)
            try:
                for piece in spool.pieces():
                    self._begun().send([piece], lent=False)
            except ClientError as again:
                error = again
            else:
                return

    def _begun(self) -> Pipeline:
        if self._pipeline is None:
            self._pipeline = Pipeline(self._begin())
        return self._pipeline

    def _fail(self, error: BaseException) -> None:
        self.error = error
        self._pending = bytearray()
        if self._pipeline is not None:
            self._pipeline.abort()
        self._forget()

    def _forget(self) -> None:
        if self._spool is not None:
            self._spool.close()
