"""Readers and writers whose calls are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar

from maxlake.client.arrow import ArrowReader

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import pyarrow as pa

    from maxlake.aio.calls import Calls
    from maxlake.client.blob_reader import BlobStreamReader
    from maxlake.client.streams import StreamReader

P = ParamSpec("P")
R = TypeVar("R")
Item = TypeVar("Item")
_END = object()


class _Turns:
    """Calls to one object, which takes one at a time, and is closed in the end.

    A call that is cancelled goes on in its thread, which closes the object afterwards: nobody knows what came
    of it, and no other call may come in between.
    """

    def __init__(self, calls: Calls, close: Callable[[], object]) -> None:
        self._calls = calls
        self._close = close
        self._turn = asyncio.Lock()
        self._abandoned = False

    async def _do(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        async with self._turn:
            if self._abandoned:
                raise ValueError("a call was cancelled: what it belonged to is closed")
            call = self._calls.begin(function, *args, **kwargs)
            try:
                return await asyncio.wrap_future(call)
            except asyncio.CancelledError:
                self._abandoned = True
                call.add_done_callback(lambda _: self._close())
                raise

    async def close(self) -> None:
        """Stop: nothing more comes, and what was not finished is discarded. May be repeated."""
        async with self._turn:
            if not self._abandoned:
                await self._calls.run(self._close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncArrowReader(_Turns):
    """``ArrowReader``, awaited: read batch by batch, or iterate."""

    def __init__(self, calls: Calls, stream: StreamReader) -> None:
        super().__init__(calls, stream.close)
        #: The reader itself, for what needs no waiting: its status and request id.
        self.reader = ArrowReader(stream)

    async def read(self) -> pa.RecordBatch | None:
        """Return the next batch; ``None`` when all were read. Raises as ``ArrowReader.read``."""
        return await self._do(self.reader.read)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> pa.RecordBatch:
        batch = await self.read()
        if batch is None:
            raise StopAsyncIteration
        return batch


class AsyncStreamReader(_Turns):
    """``StreamReader``, awaited."""

    def __init__(self, calls: Calls, stream: StreamReader) -> None:
        super().__init__(calls, stream.close)
        #: The reader itself, for what needs no waiting: its status and request id.
        self.reader = stream

    async def read(self, nbytes: int | None = None) -> bytes:
        """Return the next ``nbytes`` bytes, fewer only at the end; all that is left for ``None`` or -1."""
        return await self._do(self.reader.read, nbytes)


class AsyncBlobReader(_Turns):
    """``BlobStreamReader``, awaited: one blob after the other, none of them held whole."""

    def __init__(self, calls: Calls, reader: BlobStreamReader) -> None:
        super().__init__(calls, lambda: None)
        self._reader = reader

    async def mime_type(self) -> str | None:
        """Return the mime type of the present blob; ``None`` if it has none."""
        return await self._do(lambda: self._reader.mime_type)

    async def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes of the present blob, the rest if negative; ``b""`` at its end."""
        return await self._do(self._reader.read, size)

    async def next(self) -> AsyncBlobReader | None:
        """Go to the next blob and return this reader; ``None`` after the last."""
        return self if await self._do(self._reader.next) is not None else None


class AsyncItems(_Turns, AsyncIterator[Item], Generic[Item]):
    """What an iterator of the client yields, awaited."""

    def __init__(self, calls: Calls, items: Iterator[Item]) -> None:
        super().__init__(calls, getattr(items, "close", lambda: None))
        self._items = items

    async def __anext__(self) -> Item:
        item = await self._do(next, self._items, _END)
        if item is _END:
            raise StopAsyncIteration
        return item  # pyright: ignore[reportReturnType] - it is not _END


class _Writer(Protocol):
    """What the writers of the client have in common."""

    def write(self, data: Any, /) -> Any: ...
    def finish(self) -> Any: ...


W = TypeVar("W", bound=_Writer)


class AsyncWriter(_Turns, Generic[W]):
    """A writer of the client, awaited. Leaving ``async with`` finishes, by an exception it discards."""

    def __init__(self, calls: Calls, writer: W, close: Callable[[], object]) -> None:
        super().__init__(calls, close)
        #: The writer itself, for what needs no waiting: its status and what the service answered.
        self.writer = writer

    async def write(self, data: Any) -> Any:
        """Send ``data``, a batch or bytes, and return and raise what the writer's ``write`` does."""
        return await self._do(self.writer.write, data)

    async def finish(self) -> Any:
        """End the upload, and return and raise what the writer's ``finish`` does."""
        return await self._do(self.writer.finish)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self.finish()
        finally:
            await self.close()
