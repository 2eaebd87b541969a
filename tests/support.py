"""What every test stands on, as a plugin: one random seed, time budgets, optional tools, databases.

Environment variables: MAXLAKE_TEST_SEED (default: random) repeats a run; MAXLAKE_TEST_BUDGET
(seconds) replaces the default budget of each long suite; MAXLAKE_REQUIRE (comma list) names
optional tools whose absence fails their tests instead of skipping them.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings

from tests.budget import Budget, budget_from_environment
from tests.postgresql import Postgresql, running_postgresql
from tests.tools import ABSENT, find_tool, required_tools

SEED = "MAXLAKE_TEST_SEED"
REACHED = "points reached"

# Machines of tests are shared and slow: a deadline per example would only make tests flaky.
settings.register_profile("maxlake", deadline=None, print_blob=True)
settings.load_profile("maxlake")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # Before hypothesis reads its option, and before xdist starts workers, which inherit both.
    os.environ.setdefault(SEED, str(secrets.randbits(32)))
    if config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = os.environ[SEED]


def pytest_report_header() -> str:
    return f"random seed: {os.environ[SEED]} (repeat with {SEED}={os.environ[SEED]})"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    full = budget_from_environment()
    for item in items:
        if "budget" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.long)
            if full is not None:
                item.add_marker(pytest.mark.timeout(2 * full + 300), append=False)


@pytest.fixture(scope="session")
def seed() -> int:
    """The run's random seed, printed in its first lines."""
    return int(os.environ[SEED])


@pytest.fixture
def rng(seed: int, request: pytest.FixtureRequest) -> Random:
    """Random numbers that depend on the run's seed and the test, not on the order of tests."""
    return Random(f"{seed} {request.node.nodeid}")


@pytest.fixture
def budget(request: pytest.FixtureRequest) -> Iterator[Callable[[float], Budget]]:
    """`for point in budget(20).points(): …`: go on for 20 s, or for MAXLAKE_TEST_BUDGET.

    How many points were reached is told at the end of the run.
    """
    started: list[Budget] = []

    def start(default_seconds: float) -> Budget:
        started.append(Budget(budget_from_environment() or default_seconds))
        return started[-1]

    yield start
    for each in started:
        request.node.user_properties.append((REACHED, str(each)))


@pytest.fixture(scope="session")
def tool() -> Callable[[str], Path]:
    """`tool("strace")` → the program; `tool("postgresql")` → the directory of its server programs.

    A tool that is absent skips the test, unless MAXLAKE_REQUIRE names it: then the test fails.
    """

    def need(name: str) -> Path:
        found = find_tool(name)
        if found is not None:
            return found
        if name in required_tools():
            pytest.fail(f"{ABSENT} {name}, and MAXLAKE_REQUIRE names it", pytrace=False)
        pytest.skip(f"{ABSENT} {name}")

    return need


@pytest.fixture(scope="session")
def postgresql(tool: Callable[[str], Path]) -> Iterator[Postgresql]:
    """A PostgreSQL server of this run's own."""
    with running_postgresql(tool("postgresql")) as server:
        yield server


DATABASES = ["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgresql, pytest.mark.slow])]


@pytest.fixture(scope="session", params=DATABASES)
def database(request: pytest.FixtureRequest) -> Postgresql | None:
    """Each database a project can live in; None is SQLite, which needs no server."""
    return request.getfixturevalue("postgresql") if request.param == "postgresql" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # "" is where the terminal keeps the reports of set-up and teardown that passed.
    for report in terminalreporter.getreports(""):
        for name, value in report.user_properties:
            if name == REACHED and report.when == "teardown":
                terminalreporter.write_line(f"{report.nodeid}: {value}")
    absent = [str(report.longrepr) for report in terminalreporter.getreports("skipped")]
    for name in sorted({text.rpartition(ABSENT)[2].strip(" ')") for text in absent if ABSENT in text}):
        count = sum(f"{ABSENT} {name}" in text for text in absent)
        terminalreporter.write_line(
            f"NOT TESTED: {name} is not installed here: {count} tests skipped", red=True, bold=True
        )
    if terminalreporter.getreports("failed") or terminalreporter.getreports("error"):
        terminalreporter.write_line(pytest_report_header(), yellow=True)
