"""All scenes, by name."""

from tests.page import (
    scenes_blobs,  # noqa: F401 - each registers its scenes
    scenes_reading,  # noqa: F401
    scenes_sessions,  # noqa: F401
    scenes_streams,  # noqa: F401
)
from tests.page.scene import SCENES

__all__ = ["SCENES"]
