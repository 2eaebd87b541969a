"""The process that runs jobs, one after the other, each in a database of its own; it ends with its parent.

Run as ``python -m maxlake.lake.sql.worker``. Jobs come on standard input, outcomes go to standard output,
each as its length and its bytes.
"""

from __future__ import annotations

import os
import resource
import select
import sys
from threading import Thread
from typing import BinaryIO

#: The process may map this much more than DuckDB uses: code, Arrow's buffers, threads.
_OTHER_MEMORY = 6 * 1024 * 1024 * 1024
#: Everybody else goes first.
_NICENESS = 5


def main() -> None:
    """Run jobs until standard input ends."""
    os.nice(_NICENESS)
    source, answer = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed is no answer
    Thread(target=_end_with_parent, args=(source,), daemon=True).start()
    # They take a second, on a busy machine many: the parent may be gone by then.
    from maxlake.lake.sql import jobs  # noqa: PLC0415
    from maxlake.lake.sql.execution import run  # noqa: PLC0415

    while head := source.read(jobs.LENGTH.size):
        (length,) = jobs.LENGTH.unpack(head)
        job = jobs.decode_job(source.read(length))
        most = job.memory + _OTHER_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        os.chdir(job.data)
        outcome = jobs.encode(run(job))
        answer.write(jobs.LENGTH.pack(len(outcome)) + outcome)
        answer.flush()


def _end_with_parent(source: BinaryIO) -> None:
    """End the process, also within a job, once nobody is at the other end of its input."""
    poll = select.poll()
    poll.register(source.fileno(), 0)  # of which only the end is told
    poll.poll()
    os._exit(1)


if __name__ == "__main__":
    main()
