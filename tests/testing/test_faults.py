"""Each fault does what it says, and when it is told to."""

from __future__ import annotations

import time
from http.client import HTTPConnection, HTTPException, IncompleteRead
from urllib.parse import urlsplit

import pytest

from maxlake.testing import FaultProxy, fault_proxy, faults
from maxlake.testing.fault_proxy import Fault, Forward
from maxlake.testing.listener import Answer, Request

BODY = bytes(range(256)) * 40


class Service:
    """Answers in the place of a service, and counts."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, _request: Request, _forward: Forward) -> Answer:
        self.asked += 1
        return Answer(200, (), BODY)

    def with_fault(self, fault: Fault) -> Fault:
        return lambda request, forward: fault(request, lambda asked: self(asked, forward))


@pytest.fixture(scope="module")
def proxy():
    with fault_proxy("http://127.0.0.1:1/api") as proxy:
        yield proxy


def asked(proxy: FaultProxy, fault: Fault, action: str = "TableRead") -> tuple[int, dict[str, str], bytes]:
    client = HTTPConnection(urlsplit(proxy.endpoint).netloc, timeout=10)
    try:
        with proxy.inject(fault):
            client.request("POST", f"/api/x?Action={action}", b"")
            response = client.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        client.close()


def test_busy_says_when_to_come_back(proxy: FaultProxy) -> None:
    status, headers, body = asked(proxy, faults.busy(3))
    assert (status, headers["retry-after"]) == (503, "3")
    assert b"ServiceUnavailable" in body
    assert "retry-after" not in asked(proxy, faults.busy())[1]


@pytest.mark.parametrize(("fault", "reached"), [(faults.unreachable, 0), (faults.lose_answer, 1)])
def test_no_answer_comes(proxy: FaultProxy, fault: Fault, reached: int) -> None:
    service = Service()
    with pytest.raises((HTTPException, ConnectionError)):
        asked(proxy, service.with_fault(fault))
    assert service.asked == reached


@pytest.mark.parametrize("after", [0, 1, 5000, len(BODY) - 1])
def test_answers_are_cut_and_truncated(proxy: FaultProxy, after: int) -> None:
    with pytest.raises(IncompleteRead) as failed:
        asked(proxy, Service().with_fault(faults.cut(after)))
    assert failed.value.partial == BODY[:after]
    assert asked(proxy, Service().with_fault(faults.truncate(after)))[2] == BODY[:after]


def test_delays_and_stalls_take_their_time(proxy: FaultProxy) -> None:
    for fault in (faults.delay(0.2), faults.stall(100, 0.2)):
        started = time.monotonic()
        assert asked(proxy, Service().with_fault(fault))[2] == BODY
        assert time.monotonic() - started >= 0.2


def test_one_bit_is_flipped(proxy: FaultProxy) -> None:
    fault = Service().with_fault(faults.corrupt(1))
    bodies = [asked(proxy, fault)[2] for _ in range(3)]
    assert len(set(bodies)) == 3
    for body in bodies:
        assert sum((left ^ right).bit_count() for left, right in zip(body, BODY, strict=True)) == 1
    assert asked(proxy, Service().with_fault(faults.corrupt(1)))[2] == bodies[0]


def test_rules_say_when(proxy: FaultProxy) -> None:
    fault = Service().with_fault(faults.when(faults.first(2, faults.action("TableRead")), faults.busy()))
    statuses = [asked(proxy, fault, action)[0] for action in ("TableRead", "Other", "TableRead", "TableRead")]
    assert statuses == [503, 200, 503, 200]


def test_chance_is_repeatable() -> None:
    request = Request("POST", "/", (), bytes)
    runs = [
        [rule(request) for _ in range(200)] for rule in (faults.by_chance(0.3, seed) for seed in (1, 1, 2))
    ]
    assert runs[0] == runs[1] != runs[2]
    assert 30 < sum(runs[0]) < 90
