"""What the tests themselves stand on: seeds, budgets and absent tools, in a run of their own."""

import shutil
from pathlib import Path

import pytest

from tests.budget import Budget

pytest_plugins = ["pytester"]

TESTS = Path(__file__).resolve().parent

SUITE = """
import time

from hypothesis import given, strategies

drawn = []

def test_long(budget):
    for point in budget(0.01).points(at_least=3):
        time.sleep(0.001)

def test_tool(tool):
    tool("no-such-tool")

def test_random(rng, seed):
    assert (seed, rng.random()) == "shown"

@given(strategies.integers())
def test_drawn(number):
    drawn.append(number)
    assert len(drawn) < 50, f"drawn {sum(drawn)}"
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    support = pytester.mkdir("tests")
    for name in ("support.py", "budget.py", "postgresql.py", "tools.py"):
        shutil.copy(TESTS / name, support / name)
    (support / "conftest.py").write_text('pytest_plugins = ["tests.support"]')
    (support / "test_suite.py").write_text(SUITE)
    (pytester.path / "pytest.ini").write_text(
        "[pytest]\npythonpath = .\naddopts = -ra --import-mode=importlib\nmarkers = long\n"
    )
    for name in ("MAXLAKE_TEST_SEED", "MAXLAKE_TEST_BUDGET", "MAXLAKE_REQUIRE"):
        monkeypatch.delenv(name, raising=False)

    def start(*args: str, **env: str) -> tuple[dict[str, int], str]:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        done = pytester.runpytest_subprocess(*args)
        return done.parseoutcomes(), done.stdout.str()

    return start


def test_the_seed_repeats_a_run_in_every_worker(run) -> None:
    outputs = [run(*args, MAXLAKE_TEST_SEED="77")[1] for args in (("-n0",), ("-n2",))]
    shown = [
        [
            line
            for line in output.splitlines()
            if line.startswith("E  ") and ("shown" in line or "drawn" in line)
        ]
        for output in outputs
    ]
    assert shown[0]
    assert sorted(shown[0]) == sorted(shown[1])
    assert all("random seed: 77" in output for output in outputs)


def test_a_seed_is_chosen_and_printed(run) -> None:
    _, output = run("-n0", "-k", "test_long")
    assert "random seed: " in output


def test_long_suites_say_how_far_they_came(run) -> None:
    outcomes, output = run("-n2", "-m", "long", MAXLAKE_TEST_BUDGET="0.2")
    assert outcomes["passed"] == 1
    assert "test_long: " in output
    assert "points in 0 s (budget 0.2 s)" in output


def test_an_absent_tool_skips_loudly_unless_required(run) -> None:
    outcomes, output = run("-n0", "-k", "test_tool")
    assert outcomes == {"skipped": 1, "deselected": 3}
    assert "NOT TESTED: no-such-tool is not installed here: 1 tests skipped" in output
    outcomes, _ = run("-n0", "-k", "test_tool", MAXLAKE_REQUIRE="strace, no-such-tool")
    assert outcomes == {"failed": 1, "deselected": 3}


def test_a_budget_gives_the_least_number_of_points_whatever_it_takes() -> None:
    spent = Budget(0)
    assert list(spent.points(at_least=2)) == [0, 1]
    assert spent.reached == 2
    assert spent.left == 0
