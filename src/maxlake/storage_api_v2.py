"""The client under its documented name; installed, also importable as ``odps.apis.storage_api_v2``."""

from maxlake.client import *  # noqa: F403 - the same public names, by definition
from maxlake.client import __all__  # noqa: F401 - re-exported
