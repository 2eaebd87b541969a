"""PyODPS' entry object for the kit's servers."""

from __future__ import annotations

from typing import Any


def entry(access_id: str, secret: str, project: str, endpoint: str, **options: Any) -> Any:
    """Return a PyODPS entry object; ``options`` go to ``odps.ODPS``."""
    # PyODPS takes half a second to import, and only the client may (see the design).
    from maxlake.client.connected import ODPS  # noqa: PLC0415

    return ODPS(access_id, secret, project, endpoint=endpoint, **options)
