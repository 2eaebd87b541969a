"""Plays scenes, with their examples in them, in the process of a client.

Asked and answered as `behaviours` says; what is asked for is a scene's name and the place of the server.
"""

import contextlib
import io
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "clients" / "scripts")]

from tests.clients.scripts.behaviours import answer_each  # noqa: E402
from tests.page import examples  # noqa: E402
from tests.page.outputs import agrees, corrected  # noqa: E402
from tests.page.scenes import SCENES  # noqa: E402
from tests.page.stage import Stage  # noqa: E402
from tests.page.substitutions import applied, placeholder  # noqa: E402

EXAMPLES = {each.number: each for each in examples.load()}
ENDPOINT = placeholder('"your_endpoint"', "your_endpoint")


def show(name, place, servers):
    """Play a scene with its example in it, in a directory of their own."""
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
        play(SCENES[name], Stage(servers[place]))


def play(scene, stage):
    """Run the example between the scene's yields, and compare what it prints with what the document shows."""
    example = EXAMPLES[scene.number]
    acting = scene.play(stage)
    names = {"your_endpoint": stage.endpoint, **next(acting)}
    if example.setup:
        for statement in examples.statements(applied([ENDPOINT], example.setup)):
            perform(statement, names)
    printed = ""
    for statement in examples.statements(applied(scene.substitutions, example.text)):
        if scene.left_out_before and statement.source.startswith(scene.left_out_before):
            acting.send(names)
        just_printed = perform(statement, names)
        stage.printed += just_printed
        printed += just_printed
        # The document shows what several statements print below the last. Where it shows nothing, the
        # scene judges.
        if statement.output:
            compare(statement.output, printed, scene)
            printed = ""
    with contextlib.suppress(StopIteration):
        acting.send(names)
        raise AssertionError(f"no statement begins with {scene.left_out_before!r}")


def compare(shown, printed, scene):
    expected = corrected(shown, scene.misprints)
    if not agrees(expected, printed, scene.varies):
        raise AssertionError(f"\nprinted: {printed}\n  shown: {expected}")
    if expected != shown and agrees(shown, printed, scene.varies):
        raise AssertionError(f"the document is right: {shown}")


def perform(statement, names):
    """Run a statement; what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(statement.source, "<example>", "exec"), names)
    return printed.getvalue()


if __name__ == "__main__":
    answer_each(show)
