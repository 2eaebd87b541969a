import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from maxlake.service.group_commit import GroupCommit


def test_a_caller_alone_waits_for_nobody() -> None:
    commits: GroupCommit[int, int] = GroupCommit(10)
    groups: list[list[int]] = []

    def perform(group: Sequence[int]) -> list[int]:
        groups.append(list(group))
        return [job * 2 for job in group]

    assert [commits.run(job, perform) for job in range(3)] == [0, 2, 4]
    assert groups == [[0], [1], [2]]


def test_those_who_come_meanwhile_go_together_in_order() -> None:
    commits: GroupCommit[int, int] = GroupCommit(3)
    groups: list[list[int]] = []
    begun, go_on = threading.Event(), threading.Event()

    def perform(group: Sequence[int]) -> list[int]:
        groups.append(list(group))
        begun.set()
        assert go_on.wait(10)
        return [job * 2 for job in group]

    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(commits.run, 0, perform)]
        assert begun.wait(10)
        for job in range(1, 6):
            answers.append(pool.submit(commits.run, job, perform))
            while len(commits._waiting) < job:
                pass
        go_on.set()
        assert [answer.result(10) for answer in answers] == [0, 2, 4, 6, 8, 10]
    assert groups == [[0], [1, 2, 3], [4, 5]]


def test_what_fails_fails_for_its_group_and_no_other() -> None:
    commits: GroupCommit[int, int] = GroupCommit(10)

    def fail(_: Sequence[int]) -> list[int]:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        commits.run(1, fail)
    assert commits.run(2, list) == 2


def test_every_job_is_done_once(rng) -> None:
    commits: GroupCommit[int, int] = GroupCommit(5)
    done: list[int] = []

    def perform(group: Sequence[int]) -> list[int]:
        done.extend(group)
        return list(group)

    jobs = list(range(2000))
    rng.shuffle(jobs)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda job: commits.run(job, perform), jobs)) == jobs
    assert sorted(done) == sorted(jobs)
