"""What goes wrong with services and networks, for ``FaultProxy.inject``; and rules for when it does.

Offsets and lengths are bytes of an answer's body, as it travels.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from random import Random
from threading import Lock

from maxlake.testing.fault_proxy import Fault, Forward
from maxlake.testing.listener import Answer, ConnectionCut, Request, json_answer

Rule = Callable[[Request], bool]


def when(rule: Rule, fault: Fault) -> Fault:
    """Let ``fault`` have the requests for which ``rule`` holds."""

    def injected(request: Request, forward: Forward) -> Answer:
        return fault(request, forward) if rule(request) else forward(request)

    return injected


def action(*names: str) -> Rule:
    """Hold for these actions of the Storage API, such as ``TableRead``."""
    return lambda request: request.action in names


def first(count: int, rule: Rule) -> Rule:
    """Hold where ``rule`` does, the first ``count`` times."""
    lock, left = Lock(), [count]

    def holds(request: Request) -> bool:
        if not rule(request):
            return False
        with lock:
            left[0] -= 1
            return left[0] >= 0

    return holds


def by_chance(probability: float, seed: int) -> Rule:
    """Hold for so large a share of the requests, the same ones for the same seed and order."""
    lock, random = Lock(), Random(seed)  # noqa: S311 - no secret

    def holds(_: Request) -> bool:
        with lock:
            return random.random() < probability

    return holds


def delay(seconds: float) -> Fault:
    """Wait before the service is asked."""

    def injected(request: Request, forward: Forward) -> Answer:
        time.sleep(seconds)
        return forward(request)

    return injected


def busy(retry_after: int | None = None) -> Fault:
    """Answer 503 instead of the service; ``retry_after`` seconds go with it as ``Retry-After``."""
    headers = () if retry_after is None else (("Retry-After", str(retry_after)),)
    error = {"Code": "ServiceUnavailable", "Message": "a fault was injected"}
    return lambda _request, _forward: json_answer(error, 503, headers)


def unreachable(_: Request, __: Forward) -> Answer:
    """Close the connection; the service is not asked."""
    raise ConnectionCut


def lose_answer(request: Request, forward: Forward) -> Answer:
    """Ask the service, and close the connection instead of answering."""
    forward(request)
    raise ConnectionCut


def cut(after: int) -> Fault:
    """Close the connection after so many bytes of the answer."""
    return lambda request, forward: replace(forward(request), break_after=after, cut=True)


def stall(after: int, seconds: float) -> Fault:
    """Send nothing for a while after so many bytes of the answer."""
    return lambda request, forward: replace(forward(request), break_after=after, stall=seconds)


def truncate(length: int) -> Fault:
    """Answer with the first bytes only, as if they were all."""

    def injected(request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        return replace(answer, body=answer.body[:length])

    return injected


def corrupt(seed: int) -> Fault:
    """Flip one bit of every answer's body."""
    lock, random = Lock(), Random(seed)  # noqa: S311 - no secret

    def injected(request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        if not answer.body:
            return answer
        body = bytearray(answer.body)
        with lock:
            position, bit = random.randrange(len(body)), random.randrange(8)
        body[position] ^= 1 << bit
        return replace(answer, body=bytes(body))

    return injected
