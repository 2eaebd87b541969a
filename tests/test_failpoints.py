"""A failpoint kills at the pass asked for, and at no other; a name that is none is refused."""

import os
import signal
import subprocess
import sys

import pytest

from maxlake.failpoints import VARIABLE, Failpoint

PASS_THREE_TIMES = """
from maxlake.failpoints import Failpoint, reach
for count in range(1, 4):
    reach(Failpoint.BEFORE_PART_SYNC)
    reach(Failpoint.AFTER_PART_SYNC)
    print(count, flush=True)
"""


def run(armed: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {VARIABLE: armed}
    return subprocess.run(
        [sys.executable, "-c", PASS_THREE_TIMES], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("armed", "passed"),
    [("after-part-sync", 0), ("after-part-sync:1", 0), ("after-part-sync:3", 2)],
)
def test_the_process_is_killed_at_the_pass_asked_for(armed: str, passed: int) -> None:
    ended = run(armed)
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.split() == [str(count) for count in range(1, passed + 1)]


@pytest.mark.parametrize("armed", ["", "after-part-sync:4", f"{Failpoint.BEFORE_COMMIT_ANSWER}:1"])
def test_nothing_happens_at_other_points_and_passes(armed: str) -> None:
    ended = run(armed)
    assert ended.returncode == 0
    assert ended.stdout.split() == ["1", "2", "3"]


@pytest.mark.parametrize("armed", ["after-part-snyc:1", "after-part-sync:soon"])
def test_what_is_no_failpoint_is_refused(armed: str) -> None:
    ended = run(armed)
    assert ended.returncode == 1
    assert "ValueError" in ended.stderr
