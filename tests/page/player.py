"""Plays scenes, with their examples in them, in the process of a client."""

import contextlib
import io
import tempfile

from tests.page import examples
from tests.page.outputs import agrees, corrected
from tests.page.scenes import SCENES
from tests.page.stage import Stage
from tests.page.substitutions import applied, placeholder

EXAMPLES = {each.number: each for each in examples.load()}
CONNECTING = [placeholder(f'"{name}"', name) for name in Stage.CONNECTION]


def show(context):
    """Play the scene that is the behaviour's variant, in a directory of its own."""
    scene = SCENES[context.variant]
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
        play(scene, Stage(getattr(context, scene.place)))


def play(scene, stage):
    """Run the example between the scene's yields, and compare what it prints with what the document shows."""
    example = EXAMPLES[scene.number]
    acting = scene.play(stage)
    names = {**stage.connection, **next(acting)}
    if example.setup:
        for statement in examples.statements(applied(CONNECTING, example.setup)):
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
