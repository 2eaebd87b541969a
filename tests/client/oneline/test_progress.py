"""What is told about progress, and to whom."""

import io
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from odps.errors import DependencyNotInstalledError
from rich.console import Console

from maxlake.client.oneline import progress
from maxlake.client.oneline.progress import Moved, ProgressBar, progress_of


def test_every_step_of_every_thread_is_counted() -> None:
    told: list[Moved] = []
    with progress_of(told.append, "reading", 800) as watched, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: watched.advance(1, 10), range(800)))
    assert [each.rows for each in told] == list(range(1, 801))
    assert (told[-1].bytes, told[-1].total_rows) == (8000, 800)
    assert watched.moved.rows == 800


def test_a_bar_shows_rows_and_speed() -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=120)
    with ProgressBar("reading", 1_000_000, console) as bar:
        bar.advance(500_000, 80_000_000)
    assert "500,000 rows" in shown.getvalue()
    assert "80.0 MB" in shown.getvalue()
    assert "MB/s" in shown.getvalue()


def test_a_bar_that_is_interrupted_as_it_appears_is_gone() -> None:
    class Terminal(io.StringIO):
        def write(self, text: str) -> int:
            written = super().write(text)
            if "writing" in text and not self.interrupted:
                self.interrupted = True
                raise KeyboardInterrupt
            return written

        interrupted = False

    shown = Terminal()
    bar = ProgressBar("writing", None, Console(file=shown, force_terminal=True, width=120))
    with pytest.raises(KeyboardInterrupt), bar:
        pass
    left = shown.getvalue()
    assert left.endswith("\x1b[2K")  # the line is erased
    time.sleep(0.3)  # bars are painted ten times a second
    assert shown.getvalue() == left


def test_without_rich_a_bar_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rich.console", None)
    with pytest.raises(DependencyNotInstalledError, match="pip install rich"):
        progress_of(True, "reading", None)
    assert type(progress_of(False, "reading", None)) is progress.Progress
