"""maxlake: an open MaxCompute Storage API service, and the Python client for it.

``maxlake.read``, ``write`` and ``connect`` move rows in one line.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maxlake.client.oneline.connect import connect
    from maxlake.client.oneline.reading import read
    from maxlake.client.oneline.writing import write

__version__ = "0.1.0"
__all__ = ["connect", "read", "write"]

#: Loaded when first asked for: PyODPS and pyarrow take a second to import.
_HOMES = {
    "connect": "maxlake.client.oneline.connect",
    "read": "maxlake.client.oneline.reading",
    "write": "maxlake.client.oneline.writing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
