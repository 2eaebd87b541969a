"""Threads take turns in the order they came."""

import contextlib
import threading
import time

import pytest

from maxlake.lake.turns import Turns


def wait_until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_one_at_a_time_in_the_order_they_came() -> None:
    turns, served, inside = Turns(), list[int](), threading.Lock()

    def take(number: int) -> None:
        with turns:
            assert inside.acquire(blocking=False)
            served.append(number)
            inside.release()

    with turns:
        threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
        for number, thread in enumerate(threads, 1):
            thread.start()
            wait_until(lambda number=number: len(turns._waiting) == number)
    for thread in threads:
        thread.join()
    assert served == list(range(8))


def test_who_comes_back_at_once_does_not_overtake() -> None:
    turns, served = Turns(), list[str]()

    def other() -> None:
        with turns:
            served.append("other")

    thread = threading.Thread(target=other)
    with turns:
        thread.start()
        wait_until(lambda: turns._waiting)
    with turns:
        served.append("again")
    thread.join()
    assert served == ["other", "again"]


def test_an_interrupted_wait_passes_the_turn_on(monkeypatch) -> None:
    turns = Turns()

    def interrupted(self, timeout=None) -> bool:
        raise KeyboardInterrupt

    with turns:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Event, "wait", interrupted)
            with contextlib.suppress(KeyboardInterrupt):
                turns.__enter__()
        assert not turns._waiting
    with turns:
        pass


def test_a_turn_that_does_not_come_is_given_up() -> None:
    turns = Turns(patience=0.01)
    with turns:
        with pytest.raises(TimeoutError):
            turns.__enter__()
        assert not turns._waiting
    with turns:
        pass
