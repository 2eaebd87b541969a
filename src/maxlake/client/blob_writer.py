"""One blob being sent."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from odps.errors import DependencyNotInstalledError

from maxlake.client import parsers
from maxlake.client.enums import Compression
from maxlake.client.errors import ChecksumError
from maxlake.client.requests import checked_compression
from maxlake.client.upload_writer import UploadWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from maxlake.client.exchange import Answer
    from maxlake.client.responses import WriteBlobResponse
    from maxlake.client.upload import Upload


class BlobStreamWriter(UploadWriter):
    """Sends the bytes of one blob, compressed as a whole, and compares MD5 with the service at the end.

    ``upload`` begins the request. Raises ``ValueError`` for an unknown compression,
    ``DependencyNotInstalledError`` if this build of pyarrow lacks its codec. Otherwise as ``StreamWriter``.
    """

    def __init__(
        self, upload: Callable[[], Upload], compression: Compression | None = Compression.UNCOMPRESSED
    ) -> None:
        codec = checked_compression(compression).to_compression_name()
        if codec is not None and not pa.Codec.is_available(codec):
            raise DependencyNotInstalledError(f"this pyarrow was built without the codec {codec}")
        super().__init__(upload)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._compressor: Any = None
        if codec is not None:
            self._compressor = pa.CompressedOutputStream(pa.PythonFile(_Sink(self.give), mode="w"), codec)
        self._response: WriteBlobResponse | None = None

    def write(self, data: Any) -> bool:
        """Send ``data``: any contiguous bytes-like object, or text as UTF-8.

        Returns ``True``, or ``False`` if the writer is finished, failed or closed. Raises the service's
        error, or ``BrokenConnectionError``, the moment it is learned of.
        """
        if not self.writable():
            return False
        if isinstance(data, str):
            data = data.encode()
        self._md5.update(data)
        if self._compressor is None:
            return super().write(data)
        self._compressor.write(data)
        return True

    def finish(self) -> WriteBlobResponse | None:
        """End the blob and return its reference and size; called again, the same.

        ``None`` after a failure that was raised already, and after closing. Raises ``ChecksumError`` if the
        service received other bytes than were written.
        """
        if self._compressor is not None and self.writable():
            self._compressor.close()
        self._compressor = None
        self._response = self.complete(self._verified) or self._response
        return self._response

    def _verified(self, answer: Answer) -> WriteBlobResponse:
        response = parsers.written_blobs(answer)
        ours, theirs = self._md5.hexdigest(), (response.md5_value or "").lower()
        if theirs and theirs != ours:
            raise ChecksumError(
                f"MD5 value mismatch, expected: {theirs}, actual: {ours}",
                code="ChecksumMismatch",
                request_id=response.request_id,
                status_code=answer.status,
            )
        return response


class _Sink:
    """Where the compressor writes; what it has left when its writer failed is nobody's."""

    closed = False

    def __init__(self, pass_on: Callable[[Any], bool]) -> None:
        self._pass_on = pass_on

    def write(self, data: Any) -> int:
        self._pass_on(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: the writer sends when it has enough."""

    def close(self) -> None:
        """Do nothing: the end of the blob is said by ``finish``."""
