"""The stored examples are the document's, and nothing but the closed set of substitutions changes them."""

from pathlib import Path

import pytest

from odps.apis.storage_api_v2 import StorageApiArrowClient, StorageApiClient
from tests.page import examples, reference
from tests.page.examples import Example
from tests.page.outputs import Misprint, Varies, Varying, agrees, corrected
from tests.page.scene import Scene
from tests.page.scenes import SCENES
from tests.page.substitutions import (
    Kind,
    Substitution,
    applied,
    arguments,
    missing_import,
    objection,
    placeholder,
)

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = {each.number: each for each in examples.load()}


@pytest.fixture(scope="module")
def document() -> str:
    path = ROOT.parent / "shared" / "reference" / reference.NAME
    if not path.exists():
        pytest.skip(f"no {reference.NAME} beside this clone")
    return path.read_text(encoding="utf-8")


def test_every_group_of_the_document_is_stored_as_it_is(document: str) -> None:
    stored = [reference.Group(each.section, each.setup, each.text) for each in EXAMPLES.values()]
    assert stored == reference.groups(document)


def test_no_line_of_code_of_the_document_is_in_no_group(document: str) -> None:
    """Whatever the parser thinks of the document's structure."""
    code = {line for line in document.splitlines() if line.startswith((">>>", "... "))}
    stored = {line for each in EXAMPLES.values() for line in (each.setup + each.text).splitlines()}
    assert code <= stored


def test_groups_are_numbered_and_each_has_a_scene() -> None:
    numbers = list(EXAMPLES)
    assert numbers == list(range(1, len(numbers) + 1))
    assert {scene.number for scene in SCENES.values()} == set(numbers)


def test_what_the_document_repeats_below_the_subclass_is_the_same_code() -> None:
    members = {each.section.partition(".")[2] for each in EXAMPLES.values()} - {""}
    assert len(members) == 15
    for name in members:
        assert getattr(StorageApiArrowClient, name) is getattr(StorageApiClient, name)


def source_of(example: Example) -> str:
    statements = examples.statements(example.setup) + examples.statements(example.text)
    return "".join(each.source for each in statements)


def output_of(example: Example) -> str:
    return "".join(each.output for each in examples.statements(example.text))


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_nothing_else_is_changed(scene: Scene) -> None:
    example = EXAMPLES[scene.number]
    applied(scene.substitutions, example.text)  # each is in the text
    source, output = source_of(example), output_of(example)
    wrong = {each: objection(each, source) for each in scene.substitutions}
    assert not any(wrong.values()), wrong
    for misprint in scene.misprints:
        assert misprint.documented in output
    for varies in scene.varies:
        assert varies.text in corrected(output, scene.misprints)
        assert varies.kind.documented.fullmatch(varies.text)


LOOP = "for data, mime_type in blobs:\n    print(i, data)\n"
COUNTED = "for i, (data, mime_type) in enumerate(blobs):"


@pytest.mark.parametrize(
    ("substitution", "source"),
    [
        (arguments("write(...)", ""), ""),
        (arguments("write(...)", "1) or f("), ""),
        (arguments("write(...)", "1)(2"), ""),
        (arguments("write(...)", "x; y"), ""),
        (arguments("write(x, ...)", "1"), ""),
        (Substitution(Kind.ARGUMENTS, "write(...)", "read(1)"), ""),
        (Substitution(Kind.ARGUMENTS, "write(x)", "write(y)"), ""),
        (placeholder('"your_endpoint"', "f()"), ""),
        (placeholder("session_id", "session"), ""),
        (missing_import("os", "path"), "path\n"),
        (missing_import("odps", "errors"), "from odps import errors\nerrors\n"),
        (missing_import("odps", "errors"), "print()\n"),
        (Substitution(Kind.IMPORT, "", "from odps import errors\nprint(1)\n"), "errors\n"),
        (Substitution(Kind.LOOP_VARIABLE, "for data, mime_type in blobs:", COUNTED), "print(1)\n"),
        (Substitution(Kind.LOOP_VARIABLE, "for data, mime_type in blobs:", COUNTED), "i = 1\nprint(i)\n"),
        (Substitution(Kind.LOOP_VARIABLE, "for data in blobs:", COUNTED), LOOP),
        (Substitution(Kind.LOOP_VARIABLE, "for data, mime_type in all:", COUNTED), LOOP),
        (Substitution(Kind.SLEEP, "time.sleep(5)", "time.sleep(6)"), ""),
        (Substitution(Kind.SLEEP, "time.sleep(5)", "pass"), ""),
    ],
)
def test_a_change_of_another_kind_is_found(substitution: Substitution, source: str) -> None:
    assert objection(substitution, source)


def test_what_is_not_in_the_text_is_not_replaced() -> None:
    with pytest.raises(ValueError, match="is not in the example"):
        applied([placeholder('"your_endpoint"', "endpoint")], ">>> f()\n")


def test_output_agrees_but_for_what_varies() -> None:
    shown = "Session ID: session_12345\nsplits: 5\n"
    varies = (Varies(Varying.ID, "session_12345"), Varies(Varying.SIZE, "5"))
    assert agrees(shown, "Session  ID: 2026ab\nsplits: 17", varies)
    assert not agrees(shown, "Session ID: 2026ab\nsplits: many", varies)
    assert not agrees(shown, "Session ID: 2026ab\n", varies)
    assert not agrees(shown, "Session ID: 2026ab\nsplits: 17\nmore", varies)
    assert not agrees(shown, "Session: 2026ab\nsplits: 17", varies)
    assert not agrees("5\n", "6\n", ())
    assert corrected("a\nb\n", [Misprint("b", "c", "for the test")]) == "a\nc\n"
