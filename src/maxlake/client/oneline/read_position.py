"""How far a read has come: what a training loop saves to go on at the same row."""

from __future__ import annotations

from typing import Any

import msgspec


class ReadPosition(msgspec.Struct):
    """Splits before ``first`` were read; of some later ones so many ``rows``, or all (``done``)."""

    session_id: str
    first: int = 0
    rows: dict[int, int] = msgspec.field(default_factory=dict[int, int])
    done: set[int] = msgspec.field(default_factory=set[int])

    @classmethod
    def from_state(cls, state: Any) -> ReadPosition:
        """Return the position that ``state`` saved, also after a passage through JSON.

        Raises ``ValueError`` if it is no such state.
        """
        try:
            return msgspec.convert(state, cls, strict=False)
        except msgspec.ValidationError as error:
            raise ValueError(f"not the state of a read: {error}") from error

    def state(self) -> dict[str, Any]:
        """Return a small dict that JSON and pickle can hold."""
        built = msgspec.to_builtins(self)
        return {**built, "rows": {str(split): rows for split, rows in self.rows.items()}}

    def copy(self) -> ReadPosition:
        """Return a position that moves by itself."""
        return ReadPosition(self.session_id, self.first, dict(self.rows), set(self.done))

    def advance(self, split: int, rows: int) -> None:
        """Count ``rows`` of ``split``."""
        self.rows[split] = self.rows.get(split, 0) + rows

    def finish(self, split: int) -> None:
        """Note that ``split`` was read to its end."""
        self.rows.pop(split, None)
        self.done.add(split)
        while self.first in self.done:
            self.done.remove(self.first)
            self.first += 1

    def left(self, splits: int) -> list[int]:
        """Return which of so many splits are not read to their end."""
        return [split for split in range(self.first, splits) if split not in self.done]
