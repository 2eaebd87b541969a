"""``maxlake serve``: the service on this machine, in one command."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from sqlalchemy.exc import ArgumentError

from maxlake.cli.units import MEBIBYTE
from maxlake.protocol import limits
from maxlake.protocol.errors import MaxlakeError
from maxlake.server.keys import ACCESS_ID_VARIABLE, SECRET_VARIABLE
from maxlake.server.process import Address, Settings, run
from maxlake.service.service import ServiceSettings

_SNIPPET = """\
{imports}from odps import ODPS

{key}o = ODPS(
    {access_id},
    {secret},
    project="{project}",
    endpoint="{endpoint}",
)
print(list(o.list_tables()))
"""


def serve(
    *,
    root: Path,
    host: str = "127.0.0.1",
    port: int = 8700,
    project: str = "demo",
    ready_file: Path | None = None,
    database: str | None = None,
    session_lifetime: float = limits.SESSION_LIFETIME,
    maintenance_interval: float = limits.MAINTENANCE_INTERVAL,
    snapshot_retention: float = limits.SNAPSHOT_RETENTION,
    blob_grace: float = limits.BLOB_GRACE,
    upload_memory: int = limits.UPLOAD_MEMORY // MEBIBYTE,
) -> None:
    """Serve the Storage API from a directory, until SIGTERM or Ctrl-C.

    The access key is MAXLAKE_ACCESS_ID and MAXLAKE_ACCESS_SECRET if set, else a pair made once under ROOT.

    Parameters
    ----------
    root
        Directory of everything that is stored; made if missing.
    host
        Address to listen on.
    port
        Port to listen on; 0 picks a free one.
    project
        Project to serve; made if missing.
    ready_file
        File to write {"endpoint": ..., "pid": ...} to once requests are accepted.
    database
        URL of the catalog's database; SQLite under ROOT if not given.
    session_lifetime
        Seconds after which a session expires unless it is refreshed.
    maintenance_interval
        Seconds between two runs of maintenance; 0 for none.
    snapshot_retention
        Seconds for which a version can be read after another has replaced it.
    blob_grace
        Seconds for which a blob is kept that no row refers to.
    upload_memory
        Mebibytes that all uploads hold together; when they are spent, clients wait.
    """
    if not 0 <= port <= 65_535:
        sys.exit(f"maxlake serve: --port must be from 0 to 65535, not {port}")
    if not session_lifetime > 0:
        sys.exit(f"maxlake serve: --session-lifetime must be above 0, not {session_lifetime}")
    most = limits.MAX_MAINTENANCE_TIME
    for option, seconds, least in (
        ("maintenance-interval", maintenance_interval, 0),
        ("snapshot-retention", snapshot_retention, 0),
        ("blob-grace", blob_grace, limits.MIN_BLOB_GRACE),
    ):
        if not least <= seconds <= most:
            sys.exit(f"maxlake serve: --{option} must be from {least} to {most}, not {seconds}")
    if upload_memory * MEBIBYTE < limits.MIN_UPLOAD_MEMORY:
        least = limits.MIN_UPLOAD_MEMORY // MEBIBYTE
        sys.exit(f"maxlake serve: --upload-memory must be {least} or more, not {upload_memory}")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    service = ServiceSettings(
        session_lifetime=session_lifetime,
        maintenance_interval=maintenance_interval,
        snapshot_retention=snapshot_retention,
        blob_grace=blob_grace,
        upload_memory=upload_memory * MEBIBYTE,
    )
    settings = Settings(root.absolute(), host, port, project, ready_file, database, service)
    try:
        run(settings, _announce)
    except (OSError, ValueError, MaxlakeError, ArgumentError) as error:
        sys.exit(f"maxlake serve: {error}")


def _announce(address: Address) -> None:
    snippet = _SNIPPET.format(**_key_texts(address), project=address.project, endpoint=address.endpoint)
    headline = f"maxlake serves project {address.project} at {address.endpoint} (Ctrl-C to stop)"
    if sys.stdout.isatty():
        _announce_richly(headline, snippet)
    else:
        sys.stdout.write(f"{headline}\n\n{snippet}")
        sys.stdout.flush()


def _key_texts(address: Address) -> dict[str, str]:
    """Return how the snippet comes by the key. What may be kept as a log must not hold the secret."""
    if address.key_file is None:
        access_id, secret = (f'os.environ["{name}"]' for name in (ACCESS_ID_VARIABLE, SECRET_VARIABLE))
        return {"imports": "import os\n\n", "key": "", "access_id": access_id, "secret": secret}
    if sys.stdout.isatty():
        access_id, secret = (f'"{text}"' for text in (address.key.access_id, address.key.secret))
        return {"imports": "", "key": "", "access_id": access_id, "secret": secret}
    return {
        "imports": "import json\n\n",
        "key": f'key = json.load(open("{address.key_file}"))\n',
        "access_id": 'key["access_id"]',
        "secret": 'key["secret"]',
    }


def _announce_richly(headline: str, snippet: str) -> None:
    # rich costs a tenth of a second, which a server started by a program need not pay.
    from rich.console import Console  # noqa: PLC0415
    from rich.syntax import Syntax  # noqa: PLC0415

    console = Console()
    console.print(f"[bold green]{headline}[/]\n")
    console.print(Syntax(snippet, "python", background_color="default"))
