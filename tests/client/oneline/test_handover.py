"""The queue between threads: bounded by bytes, in order where wanted, never stuck."""

from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Thread
from time import sleep

import pytest

from maxlake.client.memory_budget import MemoryBudget
from maxlake.client.oneline.handover import Handover, HandoverStoppedError


def filled(handover: Handover[int], lane: int, count: int, size: int) -> None:
    for number in range(count):
        handover.put(number, size, lane)
    handover.end(lane)


def taken(handover: Handover[int]) -> list[tuple[int, int]]:
    items: list[tuple[int, int]] = []
    while (item := handover.take()) is not None:
        items.append(item)
    return items


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("most", [1, 100, 10_000])
def test_every_item_comes_through_in_the_order_of_its_lane(most: int, ordered: bool) -> None:
    lanes, count = 6, 50
    handover: Handover[int] = Handover(MemoryBudget(most), lanes, ordered=ordered)
    # The lanes whose turn comes last are filled first: they must not keep the others from going on.
    with ThreadPoolExecutor(lanes) as pool:
        for lane in reversed(range(lanes)):
            pool.submit(filled, handover, lane, count, 10)
        items = taken(handover)
    in_order = [(lane, number) for lane in range(lanes) for number in range(count)]
    assert items == in_order if ordered else sorted(items) == in_order
    for lane in range(lanes):
        assert [number for each, number in items if each == lane] == list(range(count))


def test_no_more_waits_than_was_said(rng: Random) -> None:
    handover: Handover[int] = Handover(MemoryBudget(100))
    Thread(target=filled, args=(handover, 0, 200, 30), daemon=True).start()
    waiting: list[int] = []
    while True:
        sleep(rng.random() / 1000)
        waiting.append(handover.waiting)
        if handover.take() is None:
            break
    assert 60 <= max(waiting) <= 100


def test_one_larger_than_all_goes_alone() -> None:
    handover: Handover[str] = Handover(MemoryBudget(10))
    handover.put("large", 1000)
    second = Thread(target=handover.put, args=("small", 1), daemon=True)
    second.start()
    sleep(0.02)
    assert handover.waiting == 1000
    assert handover.take() == (0, "large")
    second.join(5)
    assert handover.take() == (0, "small")


def test_stopping_turns_everyone_away_and_keeps_the_first_reason() -> None:
    handover: Handover[int] = Handover(MemoryBudget(10))
    handover.put(1, 10)
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(handover.put, 2, 10)
        sleep(0.02)
        assert not waits.done()
        first = ValueError("first")
        handover.stop(first)
        handover.stop(ValueError("second"))
        with pytest.raises(HandoverStoppedError):
            waits.result()
    with pytest.raises(HandoverStoppedError):
        handover.take()
    assert handover.error is first
    assert handover.waiting == 0
