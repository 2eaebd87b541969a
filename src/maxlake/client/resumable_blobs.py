"""Blobs that survive: a read whose connection breaks goes on at the byte it had come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from maxlake.client.blob_layers import DownloadFile, payload_of
from maxlake.client.blob_reader import BlobDataIterator
from maxlake.client.errors import ClientError, MalformedAnswerError
from maxlake.protocol.limits import BLOB_PIECE

if TYPE_CHECKING:
    from collections.abc import Callable

    from maxlake.client.download import Download
    from maxlake.client.retry_budget import RetryBudget

R = TypeVar("R")


class ResumableBlobs(BlobDataIterator):
    """The blobs of one read, over as many answers as it takes.

    ``open_blobs`` asks for blobs and returns the answer. The protocol has no ranges (wire.md §11.4): a blob
    that was handed out in part comes again from its first byte, and what is known of it is passed over.
    Reading ends with the error of the last attempt when ``budget`` is spent.
    """

    def __init__(
        self, references: list[str], open_blobs: Callable[[list[str]], Download], budget: RetryBudget
    ) -> None:
        self._references = references
        self._open_blobs = open_blobs
        self._budget = budget
        self._answer: Download | None = None
        #: Blobs begun; whether the last of them is being read, and how much of it was.
        self._begun = 0
        self._within = False
        self._taken = 0
        self._has_spare = False
        self._surviving(self._ask)

    def open_next(self) -> tuple[bool, str | None]:
        """Go to the next blob, the one before having been read; return whether there is one, and its type."""
        self._within = False
        if self._has_spare and self._begun == len(self._references):
            self._abort()
            return False, None
        opened, mime_type = self._surviving(super().open_next)
        if opened:
            self._begun += 1
            self._within, self._taken = True, 0
        return opened, mime_type

    def read_data(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes of the present blob, all that is left if negative."""
        read = super().read_data
        data = self._surviving(lambda: read(size))
        if data:
            self._taken += len(data)
            self._budget.progressed()
        return data

    def at_end(self) -> bool:
        """Tell whether the present blob has been read to its end."""
        return self._surviving(super().at_end)

    def _end_blob(self) -> None:
        self._within = False
        try:
            super()._end_blob()
        except ClientError as error:
            # All of the blob is here: only what comes after it is asked for.
            self._ask_again(error)

    def _surviving(self, step: Callable[[], R]) -> R:
        while True:
            try:
                return step()
            except ClientError as error:
                self._ask_again(error)

    def _ask_again(self, error: ClientError) -> None:
        while True:
            self._abort()
            self._budget.wait(error)
            try:
                self._ask()
            except ClientError as again:
                error = again
            else:
                return

    def _ask(self) -> None:
        """Ask for what is left, and come to where reading was."""
        left = self._references[self._begun - 1 if self._within else self._begun :]
        if self._begun and not left:
            self._finished = True
            return
        self._has_spare = self._begun > 0 and len(left) == 1 < len(self._references)
        if self._has_spare:
            # One alone would come without a frame, and so without its type.
            left = left * 2
        self._answer = self._open_blobs(left)
        body = DownloadFile(self._answer)
        self._begin(payload_of(body, self._answer.headers.get("content-encoding")), len(left))
        if self._within:
            self._pass_over()

    def _pass_over(self) -> None:
        super().open_next()
        missing = self._taken
        while missing and (known := super().read_data(min(missing, BLOB_PIECE))):
            missing -= len(known)
        if missing:
            raise MalformedAnswerError(
                f"blob {self._begun} (from 1) is shorter than before the connection broke",
                code="MalformedAnswer",
                status_code=200,
            )

    def _abort(self) -> None:
        if self._answer is not None:
            self._answer.abort()
            self._answer = None
