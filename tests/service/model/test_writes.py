"""All kinds of writes in any order, against a model; DuckDB's DuckLake reader has the last word."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from maxlake.protocol.errors import ErrorCode
from tests.budget import Budget
from tests.lake.duckdb_reader import DuckdbReader
from tests.postgresql import Postgresql
from tests.service.model import steps
from tests.service.model.world import CLASSES, Place, World

#: Steps from an empty table to the comparison with DuckDB.
RUN = 250

#: After so many steps each kind has been taken, and each refusal met.
ENOUGH = 5000

KINDS = pytest.mark.parametrize("keyed", [False, True], ids=["without a key", "keyed"])

_names = count()


@pytest.fixture(scope="module")
def reader() -> Iterator[DuckdbReader]:
    with DuckdbReader() as reader:
        yield reader


@contextmanager
def new_world(random: Random, postgresql: Postgresql | None = None, *, keyed: bool) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as directory:
        name = f"model{next(_names)}"
        world = World(Place(Path(directory), name, postgresql), random, keyed=keyed)
        try:
            yield world
        finally:
            world.close()


@KINDS
def test_any_order_of_steps(
    budget: Callable[[float], Budget],
    rng: Random,
    database: Postgresql | None,
    reader: DuckdbReader,
    keyed: bool,
) -> None:
    limit = budget(6)
    done: Counter[str] = Counter()
    refused: Counter[ErrorCode] = Counter()
    points = limit.points(at_least=RUN)
    while (point := next(points, None)) is not None:
        with new_world(Random(f"{rng.random()}"), database, keyed=keyed) as world:
            while point is not None:
                steps.take(world)
                point = None if point % RUN == RUN - 1 else next(points, None)
            world.finish(reader)
        done += world.done
        refused += world.refused
    if limit.reached > ENOUGH:
        assert len(done) == len(steps.WEIGHTS), done
        assert refused.keys() == CLASSES.keys(), refused


@KINDS
def test_any_steps_small(reader: DuckdbReader, keyed: bool) -> None:
    """The same, a few steps at a time: what fails here is shrunk to the steps that matter."""

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.context = new_world(Random(0), keyed=keyed)
            self.world = self.context.__enter__()

        @rule(random=st.randoms(use_true_random=False))
        def step(self, random: Random) -> None:
            self.world.random = random
            steps.take(self.world)

        def teardown(self) -> None:
            self.world.random = Random(0)
            try:
                self.world.finish(reader)
            finally:
                self.context.__exit__(None, None, None)

    run_state_machine_as_test(Machine, settings=settings(max_examples=5, stateful_step_count=40))
