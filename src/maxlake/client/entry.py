"""The PyODPS entry object, for parts of maxlake that hand one to users; only this layer imports ``odps``."""

from __future__ import annotations

from typing import Any

from odps import ODPS


def entry_object(access_id: str, secret: str, project: str, endpoint: str, **options: Any) -> ODPS:
    """Return ``odps.ODPS`` for a service; ``options`` are passed on."""
    return ODPS(access_id, secret, project, endpoint=endpoint, **options)
