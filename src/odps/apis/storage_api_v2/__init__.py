"""The documented import path of maxlake's client, which PyODPS gave up in 0.13.2."""

from maxlake.client import *  # noqa: F403 - the same public names, by definition
from maxlake.client import __all__  # noqa: F401 - re-exported
