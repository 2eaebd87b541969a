"""Memory of uploads: its bound, whose turn it is, and that nobody waits for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random
from threading import Lock

import pytest

from maxlake.lake.upload_memory import Allowance, UploadMemory
from maxlake.protocol.errors import BusyError, ErrorCode
from maxlake.protocol.limits import MAX_CONCURRENT_UPLOADS

#: Shares of 1 byte each and a pool of 512.
TOTAL = 4 * MAX_CONCURRENT_UPLOADS
POOL, SHARE = TOTAL // 2, 1


def nothing(_: int) -> int:
    return 0


class Upload:
    """An upload with a thread of its own; ``buffered`` bytes can be let go of."""

    def __init__(self, memory: UploadMemory, buffered: int = 0) -> None:
        self.allowance = Allowance(memory, self._spill)
        self.buffered = buffered
        self._pool = ThreadPoolExecutor(1)
        if buffered:
            self.allowance.begin(buffered)

    def _spill(self, most: int) -> int:
        freed = max(0, self.buffered - most)
        self.buffered -= freed
        return freed

    def start(self, step: Callable[[Allowance], None]) -> Future[None]:
        return self._pool.submit(step, self.allowance)


def waits(step: Future[None], memory: UploadMemory) -> bool:
    """Whether a step has come to wait, and has not gone on."""
    deadline = time.monotonic() + 10
    while not memory.is_short() and not step.done() and time.monotonic() < deadline:
        time.sleep(0.001)
    return not step.done()


def test_a_share_is_never_waited_for() -> None:
    memory = UploadMemory(TOTAL)
    Allowance(memory, nothing).begin(POOL + SHARE)
    for _ in range(3):
        small = Allowance(memory, nothing)
        small.begin(SHARE)
        assert small.pooled == 0


def test_a_new_message_waits_until_there_is_room() -> None:
    memory = UploadMemory(TOTAL)
    first, second = Upload(memory), Upload(memory)
    first.allowance.begin(400)
    step = second.start(lambda allowance: allowance.begin(200))
    assert waits(step, memory)
    assert memory.used <= POOL
    first.allowance.settle(0)
    step.result(10)
    assert memory.used == 200 - SHARE


def test_those_who_wait_are_served_in_the_order_they_came() -> None:
    memory = UploadMemory(TOTAL)
    first, large, small = (Upload(memory) for _ in range(3))
    first.allowance.begin(400)
    before = large.start(lambda allowance: allowance.begin(500))
    assert waits(before, memory)
    after = small.start(lambda allowance: allowance.begin(50))
    time.sleep(0.05)
    assert not after.done(), "there is room for it, but the other came first"
    first.allowance.settle(0)
    before.result(10)
    large.allowance.settle(0)
    after.result(10)


def test_rows_held_back_are_let_go_of_before_their_upload_waits() -> None:
    memory = UploadMemory(TOTAL)
    uploads = [Upload(memory, buffered=170) for _ in range(3)]
    uploads[0].start(lambda allowance: allowance.begin(150)).result(10)
    assert uploads[0].buffered == SHARE
    assert [upload.buffered for upload in uploads[1:]] == [170, 170]


def test_rows_held_back_are_let_go_of_when_others_wait() -> None:
    memory = UploadMemory(TOTAL)
    idle, other = Upload(memory, buffered=400), Upload(memory)
    idle.allowance.wait_for_sender()
    assert idle.buffered == 400, "nobody waits"
    step = other.start(lambda allowance: allowance.begin(300))
    assert waits(step, memory)
    idle.start(Allowance.wait_for_sender).result(10)
    step.result(10)
    assert idle.buffered == SHARE


def test_a_message_that_needs_more_goes_before_new_ones_and_one_beyond_the_pool() -> None:
    memory = UploadMemory(TOTAL)
    first, second, new = (Upload(memory) for _ in range(3))
    for upload in (first, second):
        upload.allowance.begin(POOL // 2 + SHARE)
    waiting = new.start(lambda allowance: allowance.begin(10))
    assert waits(waiting, memory)
    first.start(lambda allowance: allowance.grow(300)).result(10)
    assert memory.used == POOL + 300
    also = second.start(lambda allowance: allowance.grow(100))
    time.sleep(0.05)
    assert not also.done(), "one at a time"
    first.start(lambda allowance: allowance.grow(50)).result(10)
    first.allowance.settle(0)
    also.result(10)
    second.allowance.settle(0)
    waiting.result(10)


def test_a_message_larger_than_the_pool_has_it_alone() -> None:
    memory = UploadMemory(TOTAL)
    other, huge = Upload(memory), Upload(memory)
    other.allowance.begin(10)
    step = huge.start(lambda allowance: allowance.begin(3 * POOL))
    assert waits(step, memory)
    other.allowance.settle(0)
    step.result(10)


def test_who_waits_too_long_is_told_so_and_stands_in_nobodys_way() -> None:
    memory = UploadMemory(TOTAL, patience=0.05)
    Allowance(memory, nothing).begin(400)
    with pytest.raises(BusyError, match="repeat") as caught:
        Allowance(memory, nothing).begin(300)
    assert caught.value.code is ErrorCode.SERVICE_UNAVAILABLE
    assert not memory.is_short()
    Allowance(memory, nothing).begin(100)


def test_who_receives_one_message_for_too_long_gives_way() -> None:
    memory = UploadMemory(TOTAL, hold=0.05)
    slow, other = Upload(memory), Upload(memory)
    slow.allowance.begin(400)
    time.sleep(0.1)
    slow.allowance.wait_for_sender()  # nobody waits
    step = other.start(lambda allowance: allowance.begin(300))
    assert waits(step, memory)
    with pytest.raises(BusyError) as caught, slow.allowance:
        slow.allowance.wait_for_sender()
    assert caught.value.code is ErrorCode.REQUEST_TIMEOUT
    step.result(10)


def test_whatever_uploads_do_all_of_them_end_within_the_bound(rng: Random) -> None:
    """Each settles before it ends; messages unfold to three times their size at most."""
    memory = UploadMemory(TOTAL, patience=30)
    largest, over, lock = 300, list[int](), Lock()

    def run(seed: float) -> None:
        random, upload = Random(seed), Upload(memory)
        with upload.allowance as allowance:
            for _ in range(30):
                size = random.randint(1, largest)
                allowance.begin(size)
                for _ in range(random.randint(0, 2)):
                    allowance.grow(size)
                    with lock:
                        over.append(memory.used - POOL)
                    allowance.wait_for_sender()
                upload.buffered += random.randint(0, size)
                allowance.settle(upload.buffered)

    with ThreadPoolExecutor(16) as threads:
        for done in [threads.submit(run, rng.random()) for _ in range(32)]:
            done.result(60)
    assert 0 < max(over) <= 3 * largest
    assert memory.used == 0
