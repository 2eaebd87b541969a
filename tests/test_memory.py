"""P6, bounded: server and client stay small while our client moves far more than they may hold."""

import os
import time
from pathlib import Path

import pytest

from benchmarks.blobs import Session, one_large
from benchmarks.memory import measure
from benchmarks.processes import HighWater, resident
from maxlake.client import Compression
from maxlake.testing import local_server
from tests.budget import in_proportion

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")

#: What each process may hold at most (issue 2), and what is moved each way meanwhile: always far more.
MEMORY_BUDGET = 400_000_000
MOVED = max(1_000_000_000, in_proportion(2_000_000_000))
#: The same for blobs (issue 5), and how large the largest may be.
BLOB_BUDGET = 256_000_000
LARGEST_BLOB = max(1024**3, in_proportion(5 * 1024**3))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("streams", "codec"), [(1, "plain"), (2, "plain"), (2, "zstd")])
def test_memory_stays_within_the_budget(streams: int, codec: str) -> None:
    for peak in measure(MOVED, streams, codec):
        assert peak.moved >= MOVED
        # Too few samples would miss the highest point: at least five a second on a busy machine.
        assert peak.samples >= 5 * peak.seconds, peak
        assert peak.server <= MEMORY_BUDGET, peak
        assert peak.client <= MEMORY_BUDGET, peak


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("size", "compression"),
    [
        (LARGEST_BLOB, Compression.UNCOMPRESSED),
        (300 * 1024**2, Compression.ZSTD),
        (300 * 1024**2, Compression.LZ4_FRAME),
    ],
    ids=["largest", "zstd", "lz4"],
)
def test_a_blob_goes_through_both_within_the_budget(size: int, compression: Compression) -> None:
    before = resident(os.getpid())
    with local_server() as server:
        for moved in one_large(Session(server), size, compression):
            assert moved.bytes == size
            assert moved.samples >= 5 * moved.seconds, moved
            assert moved.server <= BLOB_BUDGET, moved
            assert moved.client - before <= BLOB_BUDGET, moved


def test_the_sampler_keeps_the_highest_mark() -> None:
    before = resident(os.getpid())
    with HighWater(own=os.getpid()) as high:
        held = bytearray(b"\1") * 100_000_000
        deadline = time.monotonic() + 30
        while high.bytes["own"] < before + 90_000_000 and time.monotonic() < deadline:
            time.sleep(0.01)
        del held
        samples = high.samples
        while high.samples < samples + 3:
            time.sleep(0.01)
    assert high.bytes["own"] >= before + 90_000_000
    assert resident(os.getpid()) < before + 90_000_000
