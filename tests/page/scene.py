"""Scenes: what stands around an example group, so that its text can run as it is.

A scene is a generator function of a `Stage`. It makes the table, the files and whatever else there must be,
and yields the names that the text presupposes. Then the group runs; after it the scene goes on, to check
what has become of the table. Where the text leaves work out, telling of it in a comment, the scene says
before which statement (`left_out_before`), and yields once more in between to do that work.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.page.outputs import Misprint, Varies
from tests.page.substitutions import Substitution

#: A scene's function of a `Stage`: yields names, then perhaps nothing once; is sent the example's names.
Play = Callable[[Any], Generator[dict[str, Any] | None, dict[str, Any], None]]


class Place(StrEnum):
    """Which of a behaviour's servers an example meets."""

    SERVER = "server"
    #: One whose sessions soon expire.
    SHORT_LIVED = "short_lived"
    #: One behind a proxy, for the fault that `faults.FAULTS` has for the scene.
    FAULTY = "faulty"


@dataclass(frozen=True)
class Broken:
    """What a client does instead of what the document says, and why."""

    shows: str
    why: str


@dataclass(frozen=True)
class Scene:
    """A scene of the group `number`; `broken` if the example cannot work with PyODPS 0.13.0."""

    number: int
    play: Play
    substitutions: tuple[Substitution, ...]
    varies: tuple[Varies, ...]
    misprints: tuple[Misprint, ...]
    place: Place
    left_out_before: str
    broken: Broken | None

    @property
    def name(self) -> str:
        return self.play.__name__


SCENES: dict[str, Scene] = {}


def scene(
    number: int,
    *substitutions: Substitution,
    varies: tuple[Varies, ...] = (),
    misprints: tuple[Misprint, ...] = (),
    place: Place = Place.SERVER,
    left_out_before: str = "",
    broken: Broken | None = None,
) -> Callable[[Play], None]:
    """Register the decorated generator function as a scene of a group; a group may have several."""

    def register(play: Play) -> None:
        made = Scene(number, play, substitutions, varies, misprints, place, left_out_before, broken)
        assert made.name not in SCENES, made.name
        SCENES[made.name] = made

    return register
