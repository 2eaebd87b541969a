"""What the kernel says about a process: its memory, sampled, and its CPU time."""

import os
import re
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

SAMPLE_SECONDS = 0.01
_RESIDENT = re.compile(r"^Rss(?:Anon|Shmem):\s+(\d+) kB$", re.MULTILINE)


def resident(pid: int) -> int:
    """Bytes of RssAnon + RssShmem: what a process holds itself; pages of mapped files do not count."""
    return sum(int(size) for size in _RESIDENT.findall(Path(f"/proc/{pid}/status").read_text())) * 1024


def cpu_seconds(pid: int) -> float:
    """CPU time a process has used, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class HighWater:
    """Samples the resident memory of processes, while in the ``with``; ``bytes`` is each one's highest."""

    def __init__(self, **pids: int) -> None:
        self.bytes = dict.fromkeys(pids, 0)
        self.samples = 0
        self._pids = pids
        self._stop = Event()
        self._thread = Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            for name, pid in self._pids.items():
                self.bytes[name] = max(self.bytes[name], resident(pid))
            self.samples += 1
            if self._stop.wait(SAMPLE_SECONDS):
                return
