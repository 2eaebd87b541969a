"""Splits of one session read by several threads, ahead of whoever wants their batches."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING

from maxlake.client.oneline.handover import Handover, HandoverStoppedError
from maxlake.client.oneline.workers import Workers

if TYPE_CHECKING:
    import pyarrow as pa

    from maxlake.client.memory_budget import MemoryBudget

#: Reads a split: batches as they come, closing it closes the connection.
SplitReader = Callable[[int], Generator["pa.RecordBatch"]]


def read_splits(
    splits: list[int], read: SplitReader, *, threads: int, memory: MemoryBudget, ordered: bool
) -> Generator[tuple[int, pa.RecordBatch | None]]:
    """Yield the batches of ``splits``, each after its split, and ``None`` at the end of each split.

    ``ordered`` keeps the order of the splits. ``memory`` bounds the batches that are read ahead. Whoever
    stops early closes the generator. Raises what ``read`` raises.
    """
    if not splits:
        return
    handover: Handover[pa.RecordBatch | None] = Handover(memory, len(splits), ordered=ordered)
    turns = count()

    def work() -> None:
        try:
            while (lane := next(turns)) < len(splits):
                _hand_over(read(splits[lane]), lane, handover)
        except HandoverStoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised to whoever reads
            handover.stop(error)

    workers = Workers("maxlake-read", work)
    try:
        for _ in range(min(threads, len(splits))):
            workers.add()
        while (taken := handover.take()) is not None:
            lane, batch = taken
            yield splits[lane], batch
    except HandoverStoppedError:
        assert handover.error is not None
        raise handover.error from None
    finally:
        handover.stop()
        workers.leave()


def _hand_over(
    batches: Generator[pa.RecordBatch], lane: int, handover: Handover[pa.RecordBatch | None]
) -> None:
    with closing(batches):
        for batch in batches:
            handover.put(batch, batch.nbytes, lane)
    handover.put(None, 0, lane)
    handover.end(lane)
