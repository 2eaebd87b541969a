"""How far a read or a write has come, told to a bar or to the caller."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from odps.errors import DependencyNotInstalledError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


@dataclass(frozen=True)
class Moved:
    """What was moved so far: rows, their bytes in Arrow, seconds; ``total_rows`` if it is known."""

    rows: int
    bytes: int
    seconds: float
    total_rows: int | None


#: ``True`` for a bar on a terminal, ``False`` for nothing, or who is to be told.
ProgressChoice = bool | Callable[[Moved], object]


class Progress:
    """Counts what is moved, from any thread, between entering and leaving; ``tell`` hears of every step."""

    def __init__(self, tell: Callable[[Moved], object] | None, total_rows: int | None) -> None:
        self._tell = tell
        self._total_rows = total_rows
        self._lock = Lock()
        self._rows = self._bytes = 0
        self._begun = time.monotonic()

    @property
    def moved(self) -> Moved:
        """What was moved so far."""
        return Moved(self._rows, self._bytes, time.monotonic() - self._begun, self._total_rows)

    def advance(self, rows: int, size: int) -> None:
        """Count ``rows`` of ``size`` bytes."""
        with self._lock:
            self._rows += rows
            self._bytes += size
            if self._tell is not None:
                self._tell(self.moved)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what was shown."""


class ProgressBar(Progress):
    """Shows rows, bytes, speed and the time that is left; needs rich, and a terminal."""

    def __init__(self, what: str, total_rows: int | None, console: Any) -> None:
        from rich import progress  # noqa: PLC0415 - only whoever looks at a bar needs it

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.completed:,} rows"),
            progress.TextColumn("{task.fields[size]}"),
            progress.TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task(what, total=total_rows, size="")
        super().__init__(self._show, total_rows)

    def _show(self, moved: Moved) -> None:
        speed = moved.bytes / 1e6 / max(moved.seconds, 1e-3)
        size = f"{moved.bytes / 1e6:,.1f} MB, {speed:,.0f} MB/s"
        self._bar.update(self._task, completed=moved.rows, size=size)

    def __enter__(self) -> Self:
        try:
            self._bar.start()
        except BaseException:  # Ctrl-C while it is painted: nobody else ends the thread that paints it
            self._bar.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


def progress_of(choice: ProgressChoice, what: str, total_rows: int | None) -> Progress:
    """Return what counts, and shows or tells as ``choice`` says.

    Raises ``DependencyNotInstalledError`` if a bar is wanted and rich is not installed.
    """
    if callable(choice):
        return Progress(choice, total_rows)
    if not choice:
        return Progress(None, total_rows)
    try:
        from rich.console import Console  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        raise DependencyNotInstalledError("progress=True needs rich: pip install rich") from error
    console = Console(stderr=True)
    return ProgressBar(what, total_rows, console) if console.is_terminal else Progress(None, total_rows)
