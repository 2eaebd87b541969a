"""``maxlake record``: write down what a client and a service say, without its secrets."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from threading import Event

from maxlake.testing.recorder import record as recording


def record(service: str, *, to: Path, port: int = 0, rows: bool = True) -> None:
    """Record the traffic of clients with a service, until SIGTERM or Ctrl-C, for maxlake.testing.replay.

    Signatures, access keys, tokens, and names of accounts and servers are not recorded. SQL texts are, and
    names of projects, tables and columns.

    Parameters
    ----------
    service
        Endpoint of the service, such as http://service.cn-shanghai.maxcompute.aliyun.com/api.
    to
        File to write; it must not be there yet.
    port
        Port of this machine to listen on; 0 picks a free one.
    rows
        Whether rows and blobs are recorded, too; --no-rows leaves them out.
    """
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        with recording(to, service, rows=rows, port=port) as recorder:
            sys.stdout.write(f"recording to {to}; use the endpoint {recorder.endpoint} (Ctrl-C to stop)\n")
            sys.stdout.flush()
            stop.wait()
    except (OSError, ValueError, OverflowError) as error:
        sys.exit(f"maxlake record: {error}")
