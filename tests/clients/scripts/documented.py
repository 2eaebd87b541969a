"""The examples of the documented client, each in a scene of `tests/page`."""

import sys
from pathlib import Path

from behaviours import behaviour

sys.path.append(str(Path(__file__).resolve().parents[3]))

from tests.page import player


@behaviour()
def example(context):
    player.show(context)
