"""Where a read stands, whatever the order of its splits."""

import json
from random import Random

import pytest

from maxlake.client.oneline.read_position import ReadPosition


def test_any_order_of_splits_ends_at_nothing_left(rng: Random) -> None:
    for _ in range(50):
        splits = {split: rng.randrange(4) for split in range(rng.randrange(1, 12))}
        position = ReadPosition("s")
        had: dict[int, int] = dict.fromkeys(splits, 0)
        open_splits = list(splits)
        while open_splits:
            split = rng.choice(open_splits)
            if had[split] == splits[split]:
                position.finish(split)
                open_splits.remove(split)
            else:
                position.advance(split, 1)
                had[split] += 1
            position = ReadPosition.from_state(json.loads(json.dumps(position.state())))
            assert sorted(open_splits) == position.left(len(splits))
            assert {each: rows for each, rows in had.items() if rows and each in open_splits} == position.rows
        assert position == ReadPosition("s", first=len(splits))


@pytest.mark.parametrize("state", [{}, {"session_id": 1}, "text", {"session_id": "s", "rows": {"a": 1}}])
def test_what_is_no_state_is_refused(state: object) -> None:
    with pytest.raises(ValueError, match="not the state of a read"):
        ReadPosition.from_state(state)


def test_a_copy_moves_by_itself() -> None:
    position = ReadPosition("s")
    copy = position.copy()
    copy.advance(0, 5)
    copy.finish(1)
    assert position == ReadPosition("s")
