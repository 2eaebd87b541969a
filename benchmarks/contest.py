"""Calls of ours and of others, made in turns and timed one by one."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from rich.progress import track

from benchmarks.processes import cpu_seconds

#: Makes one call and returns the seconds of it that count.
Call = Callable[[], float]


@dataclass(frozen=True)
class Case:
    """What every contender does ``calls`` times in every round; the first of them is ours, over HTTP."""

    group: str
    name: str
    calls: int
    contenders: dict[str, Call]


@dataclass(frozen=True)
class Turn:
    """One contender's calls of one round: each one's seconds; CPU seconds and bytes read of all together.

    Both count this process and the server: whoever works elsewhere finds the other idle. Bytes read are
    those of read calls on files, cached by the kernel or not.
    """

    group: str
    case: str
    contender: str
    round: int
    seconds: list[float] = field(repr=False)
    cpu: float
    read: int


def timed(work: Callable[[], object]) -> Call:
    """Return a call whose seconds are all of ``work``."""

    def call() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return call


def run(cases: list[Case], rounds: int, server_pid: int) -> list[Turn]:
    """Call everything once uncounted, then let the contenders take turns, each time another one first."""
    for case in cases:
        for call in case.contenders.values():
            call()
    turns: list[Turn] = []
    for number in track(range(rounds), description="measuring", transient=True):
        for position, case in enumerate(cases):
            order = list(case.contenders)
            first = (number + position) % len(order)
            made = {name: _turn(case, name, number, server_pid) for name in order[first:] + order[:first]}
            turns += [made[name] for name in order]
    return turns


def _turn(case: Case, contender: str, number: int, server_pid: int) -> Turn:
    call = case.contenders[contender]
    cpu, read = _cpu(server_pid), _read(server_pid)
    seconds = [call() for _ in range(case.calls)]
    cpu, read = _cpu(server_pid) - cpu, _read(server_pid) - read
    return Turn(case.group, case.name, contender, number, seconds, cpu, read)


def _cpu(server_pid: int) -> float:
    return cpu_seconds(server_pid) + cpu_seconds(os.getpid())


def _read(server_pid: int) -> int:
    """Bytes that read calls have returned; what sockets receive is not in it."""
    fields = (Path(f"/proc/{pid}/io").read_text().split() for pid in (server_pid, os.getpid()))
    return sum(int(values[values.index("rchar:") + 1]) for values in fields)


@dataclass(frozen=True)
class Line:
    """One contender in one case. ``p50``, ``p95`` and ``p99`` in seconds, over all calls of all rounds.

    ``ratio`` is the median over the rounds of its median time to ours in the same round: above 1, ours is
    faster. ``cpu`` (seconds) and ``read`` (bytes) are of one call, medians over the rounds.
    """

    group: str
    case: str
    contender: str
    p50: float
    p95: float
    p99: float
    ratio: float
    cpu: float
    read: float


def summary(turns: list[Turn]) -> list[Line]:
    """Return a line for each case and contender, in the order of the cases, ours first."""
    lines: list[Line] = []
    for group, case in dict.fromkeys((turn.group, turn.case) for turn in turns):
        here = [turn for turn in turns if (turn.group, turn.case) == (group, case)]
        contenders = list(dict.fromkeys(turn.contender for turn in here))
        ours = {turn.round: median(turn.seconds) for turn in here if turn.contender == contenders[0]}
        for contender in contenders:
            own = [turn for turn in here if turn.contender == contender]
            seconds = [second for turn in own for second in turn.seconds]
            lines.append(
                Line(
                    group,
                    case,
                    contender,
                    p50=median(seconds),
                    p95=float(np.percentile(seconds, 95)),
                    p99=float(np.percentile(seconds, 99)),
                    ratio=median(median(turn.seconds) / ours[turn.round] for turn in own),
                    cpu=median(turn.cpu / len(turn.seconds) for turn in own),
                    read=median(turn.read / len(turn.seconds) for turn in own),
                )
            )
    return lines
