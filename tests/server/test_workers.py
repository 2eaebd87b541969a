"""What becomes of requests that still run when the server ends: the truth is answered, or nothing."""

from __future__ import annotations

import asyncio
import time
from threading import Event

import pytest

from maxlake.protocol import limits
from maxlake.protocol.enums import Action
from maxlake.server import dispatch
from maxlake.server.workers import StillRunningError, Workers


async def _cancelled_twice(task: asyncio.Task) -> object:
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.sleep(0.05)
    task.cancel()
    return await task


def test_what_runs_at_the_end_is_waited_for():
    async def main():
        workers = Workers()
        task = asyncio.create_task(workers.call(lambda: time.sleep(0.3) or "stored"))
        assert await _cancelled_twice(task) == "stored"
        assert workers.close()

    asyncio.run(main())


def test_what_waits_for_a_thread_at_the_end_is_not_begun():
    async def main():
        workers, release, begun = Workers(), Event(), []
        busy = [asyncio.create_task(workers.call(release.wait)) for _ in range(limits.CALL_THREADS)]
        task = asyncio.create_task(workers.call(begun.append, 1))
        with pytest.raises(asyncio.CancelledError):
            await _cancelled_twice(task)
        release.set()
        await asyncio.gather(*busy)
        assert workers.close()
        assert not begun

    asyncio.run(main())


def test_what_does_not_end_in_time_is_reported(monkeypatch):
    monkeypatch.setattr(limits, "SHUTDOWN_LAST_WAIT", 0.2)
    release = Event()

    async def main():
        workers = Workers()
        with pytest.raises(StillRunningError):
            await _cancelled_twice(asyncio.create_task(workers.call(release.wait)))
        assert not workers.close()

    asyncio.run(main())
    release.set()


def test_an_upload_is_interrupted():
    async def main():
        workers, interrupted = Workers(), Event()
        task = asyncio.create_task(workers.upload(interrupted.wait, interrupt=interrupted.set))
        assert await _cancelled_twice(task) is True
        assert workers.close()

    asyncio.run(main())


def test_a_stored_upload_is_never_answered_with_repeat(call, monkeypatch):
    """The handler ends its work after the server's time is over: 200, not 503."""
    stored = Event()

    def slow(*_):
        time.sleep(0.4)
        stored.set()
        return {"CommitMessage": ""}

    monkeypatch.setitem(dispatch._BY_NAME, Action.TABLE_WRITE.value, dispatch.UploadAction(slow))

    async def stop_soon() -> None:
        serving = asyncio.current_task()
        assert serving is not None
        asyncio.get_running_loop().call_later(0.2, serving.cancel)

    call.before = stop_soon
    target = "/api/storage/v2?Action=TableWrite&Target=projects.p.schemas.default.tables.t"
    answer = call("POST", target, [b"x"] * 3)
    assert stored.is_set()
    assert answer.status == 200
