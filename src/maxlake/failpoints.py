"""Named points at which a test may kill the process: ``MAXLAKE_FAILPOINT=name:n`` (the n-th pass, from 1).

Without the variable, reaching a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
import threading

_name, _, _nth = os.environ.get("MAXLAKE_FAILPOINT", "").partition(":")
_left = int(_nth or 1)
_lock = threading.Lock()


def reach(name: str) -> None:
    """Kill this process at once, as a power cut would, if this is the point and the pass asked for."""
    global _left  # noqa: PLW0603 - one process, one failpoint
    if name != _name:
        return
    with _lock:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
