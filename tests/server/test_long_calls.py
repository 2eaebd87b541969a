"""Calls that take minutes: in places of their own, and no longer than somebody wants their result."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from maxlake.protocol import limits
from maxlake.protocol.errors import BusyError, ErrorCode
from maxlake.protocol.headers import ROUTE_TOKEN_HEADER
from maxlake.server.app import App
from maxlake.server.workers import Stopped, Workers
from maxlake.service import read_sessions, store
from tests.server import conftest
from tests.server.conftest import Caller
from tests.service.scene import Scene

TARGET = "/api/storage/v2?Action=TableCreateReadSession&Target=projects.p.schemas.default.tables.t"
COUNTED = json.dumps({"FilterPredicate": "id > 1", "SplitOptions": {"SplitMode": "RowOffset"}}).encode()


def until_stopped(stopped: Stopped) -> str:
    while not stopped():
        time.sleep(0.005)
    return threading.current_thread().name


async def nobody_leaves() -> None:
    await asyncio.Event().wait()


def test_other_calls_stay_quick_and_one_too_many_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "PLACE_WAIT", 0.1)

    async def main() -> None:
        workers, gone = Workers(), asyncio.create_task(nobody_leaves())
        busy = [
            asyncio.create_task(workers.long_call(until_stopped, gone))
            for _ in range(limits.MAX_LONG_CALLS + limits.CALL_THREADS)
        ]
        await asyncio.sleep(0.05)
        assert await asyncio.wait_for(workers.call(lambda: "quick"), 5) == "quick"
        refused = await asyncio.gather(*busy[limits.MAX_LONG_CALLS :], return_exceptions=True)
        assert {error.code for error in refused if isinstance(error, BusyError)} == {ErrorCode.FLOW_EXCEEDED}
        gone.cancel()
        threads = await asyncio.gather(*busy[: limits.MAX_LONG_CALLS])
        assert all(name.startswith("long") for name in threads)
        gone = asyncio.create_task(nobody_leaves())
        assert await workers.long_call(lambda _: "free again", gone) == "free again"
        assert workers.close()

    asyncio.run(main())


def test_a_long_call_stops_when_the_server_ends():
    async def main() -> None:
        workers, gone = Workers(), asyncio.create_task(nobody_leaves())
        task = asyncio.create_task(workers.long_call(until_stopped, gone))
        await asyncio.sleep(0.05)
        task.cancel()
        assert (await asyncio.wait_for(task, 5)).startswith("long")
        assert workers.close()

    asyncio.run(main())


@pytest.fixture
def scene(call: Caller) -> Scene:
    made = Scene(call.service.project("p"))
    made.append([1, 2, 3])
    return made


def counting(monkeypatch: pytest.MonkeyPatch, before: Callable[[Stopped], Any]) -> list[str]:
    """Do something before rows are counted; return the names of the threads that do it."""
    count, threads = read_sessions.count_selected, []

    def watched(data: Any, plan: Any, selection: Any, stopped: Stopped) -> Any:
        threads.append(threading.current_thread().name)
        before(stopped)
        return count(data, plan, selection, stopped)

    monkeypatch.setattr(read_sessions, "count_selected", watched)
    return threads


@pytest.mark.usefixtures("scene")
def test_sessions_that_count_are_long_and_others_are_not(call: Caller, monkeypatch: pytest.MonkeyPatch):
    threads = counting(monkeypatch, lambda _: None)
    answer = call("POST", TARGET, COUNTED)
    assert (answer.status, answer.json["RecordCount"]) == (200, 2)
    assert ROUTE_TOKEN_HEADER.lower() in answer.headers
    assert [name[:4] for name in threads] == ["long"]

    class Full(App):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.workers._long_places = asyncio.Semaphore(0)

    monkeypatch.setattr(conftest, "App", Full)
    monkeypatch.setattr(limits, "PLACE_WAIT", 0.05)
    answer = call("POST", TARGET, COUNTED)
    assert (answer.status, answer.json["Code"]) == (429, "FlowExceeded")
    assert call("POST", TARGET, b'{"FilterPredicate": "id > 1"}').status == 200
    assert call("POST", TARGET, b'{"SplitOptions": {"SplitMode": "RowOffset"}}').status == 200


def test_a_count_ends_when_its_client_leaves(scene: Scene, call: Caller, monkeypatch: pytest.MonkeyPatch):
    began = threading.Event()

    def wait(stopped: Stopped) -> None:
        began.set()
        until_stopped(stopped)

    threads = counting(monkeypatch, wait)

    class Left(App):
        """The client closes its connection once the count has begun."""

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            taken: list[Any] = []

            async def leaving() -> Any:
                if not taken:
                    taken.append(await receive())
                    return taken[0]
                await asyncio.to_thread(began.wait)
                return {"type": "http.disconnect"}

            await super().__call__(scope, leaving, send)

    monkeypatch.setattr(conftest, "App", Left)
    answer = call("POST", TARGET, COUNTED)
    assert answer.status == 503
    assert len(threads) == 1
    with scene.project.lake.database.read() as connection:
        left = connection.execute(select(func.count()).select_from(store.read_session)).scalar_one()
    assert left == 0
