"""Many blobs by several requests at once, in order, within the client's memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING

from maxlake.client.blob_reader import BlobDataIterator
from maxlake.protocol.limits import CLIENT_BLOBS_PER_REQUEST

if TYPE_CHECKING:
    from maxlake.client.memory_budget import MemoryBudget, MemoryReservation

Blob = tuple[bytes, str | None]
Read = Callable[[Sequence[str | bytes]], BlobDataIterator]


def read_in_order(
    read: Read, references: Sequence[str | bytes], workers: int, memory: MemoryBudget
) -> Iterator[Blob]:
    """Yield the blobs of all ``references``; ``read`` performs one request, ``workers`` at a time.

    Blobs that came before their turn are held, within ``memory``.
    """
    size = max(1, min(CLIENT_BLOBS_PER_REQUEST, -(-len(references) // workers)))
    waiting = deque(references[start : start + size] for start in range(0, len(references), size))
    running: deque[_Request] = deque()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_Request(read, waiting.popleft(), memory.reservation()))
            yield from running[0].blobs()
            running.popleft()
    finally:
        for request in running:
            request.stop()


class _Request:
    """A request that a thread of its own receives. The thread does not refer to it: it may be dropped."""

    def __init__(self, read: Read, references: Sequence[str | bytes], memory: MemoryReservation) -> None:
        self._memory = memory
        self._results: SimpleQueue[Blob | BaseException | None] = SimpleQueue()
        self._stopped = Event()
        work = (read, references, memory, self._results, self._stopped)
        # A daemon: blobs that nobody takes do not keep the interpreter.
        Thread(target=_receive, args=work, name="maxlake-blobs", daemon=True).start()

    def blobs(self) -> Iterator[Blob]:
        """Yield what comes, to its end; raises what went wrong."""
        while (result := self._results.get()) is not None:
            if isinstance(result, BaseException):
                raise result
            self._memory.shrink(len(result[0]))
            yield result

    def stop(self) -> None:
        """Receive no more than the blob that is being received."""
        self._stopped.set()
        self._memory.free()


def _receive(
    read: Read,
    references: Sequence[str | bytes],
    memory: MemoryReservation,
    results: SimpleQueue[Blob | BaseException | None],
    stopped: Event,
) -> None:
    try:
        blobs = read(references)
        opened, mime_type = blobs.open_next()
        while opened:
            announced = blobs.left
            memory.grow(announced)
            if stopped.is_set():
                return
            data = blobs.read_data()
            blobs.skip_remaining_data_and_footer(0)
            if not announced:
                # Alone in its request, so nothing else is held: this never waits.
                memory.grow(len(data))
            results.put((data, mime_type))
            del data
            opened, mime_type = blobs.open_next()
    except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
        results.put(error)
    else:
        results.put(None)
