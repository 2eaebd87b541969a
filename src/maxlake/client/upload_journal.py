"""What a program notes of an upload, so that it can go on after its own death."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

import msgspec

from maxlake.protocol.limits import CLIENT_MAX_JOURNAL


class UploadState(StrEnum):
    """How far an upload has come: rows are taken, all were stored, they are visible."""

    WRITING = "writing"
    COMMITTING = "committing"
    COMMITTED = "committed"


class JournalEntry(msgspec.Struct, frozen=True):
    """All there is to know: how many rows a stream has, the service itself tells."""

    table: str
    session_id: str
    state: UploadState = UploadState.WRITING
    row_count: int = 0


_DECODER = msgspec.json.Decoder(JournalEntry)


class UploadJournal:
    """A file that holds the latest entry, and always a whole one."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def read(self) -> JournalEntry | None:
        """Return the entry, None if nothing was noted. Raises ``ValueError`` for a file of another kind."""
        try:
            with self.path.open("rb") as file:
                return _DECODER.decode(file.read(CLIENT_MAX_JOURNAL))
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise ValueError(f"{self.path} is not the journal of an upload: {error}") from error

    def write(self, entry: JournalEntry) -> None:
        """Put an entry in the place of the one before, durably."""
        waiting = self.path.with_name(f"{self.path.name}.new")
        with waiting.open("wb") as file:
            file.write(msgspec.json.encode(entry))
            file.flush()
            os.fsync(file.fileno())
        waiting.replace(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
