"""Rows that survive: a read whose connection breaks goes on at the row it had come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maxlake.client.arrow_messages import ArrowMessage, ArrowMessages, MessageKind
from maxlake.client.buffers import BufferRing
from maxlake.client.errors import ClientError, MalformedAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from maxlake.client.download import Download
    from maxlake.client.memory_budget import MemoryReservation
    from maxlake.client.retry_budget import RetryBudget


class ResumableRows:
    """The Arrow messages of one read, over as many answers as it takes.

    ``open_after`` performs the request without its first so many rows, and returns its answer. A row is
    handed out once its whole batch is here, so whatever breaks, what comes next begins at a row. Reading
    ends with the error of the last attempt when ``budget`` is spent.
    """

    def __init__(
        self, open_after: Callable[[int], Download], budget: RetryBudget, memory: MemoryReservation
    ) -> None:
        self._open_after = open_after
        self._budget = budget
        self.ring = BufferRing(memory)
        self._row_count = 0
        self._schema: bytes | None = None
        self._answer: Download | None = None
        self._messages: ArrowMessages | None = None
        self.request_id: str | None = None
        while self._answer is None:
            try:
                self._open()
            except ClientError as error:
                self._budget.wait(error)

    def next(self) -> ArrowMessage:
        """Return the next message, at last the end marker. Raises an error of the client."""
        while True:
            try:
                message = self._received()
            except ClientError as error:
                self.abort()
                if error.request_id is None:
                    error.request_id = self.request_id
                if not self._goes_on():
                    raise
                self._budget.wait(error)
                continue
            except BaseException:
                self.abort()
                raise
            if message.row_count:
                self._row_count += message.row_count
                self._budget.progressed()
            if message.kind is MessageKind.END:
                self.ring.clear()
            return message

    def abort(self) -> None:
        """Drop the connection in use, if any, and the memory."""
        if self._answer is not None:
            self._answer.abort()
            self._answer = self._messages = None
        self.ring.clear()

    def _goes_on(self) -> bool:
        """Whether what is left can be asked for."""
        return True

    def _open(self) -> None:
        self._answer = self._open_after(self._row_count)
        self._messages = ArrowMessages(self._answer.readinto, self.ring)
        self.request_id = self._answer.request_id

    def _received(self) -> ArrowMessage:
        if self._messages is None:
            self._open()
            assert self._messages is not None
        message = self._messages.next()
        if message.kind is MessageKind.SCHEMA:
            if self._schema is None:
                self._schema = message.head
            elif self._schema != message.head:
                raise MalformedAnswerError(
                    "the rows have another schema than those before the connection broke",
                    code="MalformedAnswer",
                    status_code=200,
                )
            else:
                return self._received()
        return message


class UnresumableRows(ResumableRows):
    """The same for what can only be asked from its beginning: once rows came, a broken connection ends it."""

    def __init__(
        self, open_again: Callable[[], Download], budget: RetryBudget, memory: MemoryReservation
    ) -> None:
        super().__init__(lambda _: open_again(), budget, memory)

    def _goes_on(self) -> bool:
        return not self._row_count
