"""Our client's surface against that of an installed PyODPS 0.13.0, and against the documentation."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients.environments import run_in_client
from tests.surface.introspect import describe

HERE = Path(__file__).parent

#: Empty text in 0.13.0; with us an attribute that nothing was said about is always None.
REQUEST_ID = "request_id"

Surface = dict[str, Any]


@pytest.fixture(scope="module")
def ours() -> Surface:
    return describe("maxlake.storage_api_v2", "maxlake")


@pytest.fixture(scope="module")
def theirs() -> Surface:
    package = "odps.apis.storage_api_v2"
    done = run_in_client("0.13.0", HERE / "introspect.py", package, package)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def names_of(surface: Surface) -> set[str]:
    members = {f"{name}.{member}" for name, each in surface.items() for member in each.get("members", {})}
    return set(surface) | members


def takes_keywords_only(parameters: list[list[str]]) -> bool:
    return not [each for each in parameters if each[2] != "VAR_KEYWORD"]


def test_nothing_is_lacking(ours: Surface, theirs: Surface) -> None:
    assert len(theirs) > 35
    assert not names_of(theirs) - names_of(ours)


def test_parameters_names_order_and_defaults(ours: Surface, theirs: Surface) -> None:
    compared = 0
    for name, (mine, original) in common_classes(ours, theirs).items():
        if takes_keywords_only(original["parameters"]):
            # A plain value: every attribute of theirs can be given by name to ours.
            given = {each[0] for each in mine["parameters"]}
            attributes = {key for key, each in original["members"].items() if "attribute" in each}
            assert attributes <= given, name
        else:
            assert mine["parameters"] == original["parameters"], name
        for member, expected in original["members"].items():
            if "parameters" in expected and "file" not in expected:
                assert mine["members"][member]["parameters"] == expected["parameters"], f"{name}.{member}"
                compared += 1
    assert compared > 45


def test_properties_enums_constants_and_files(ours: Surface, theirs: Surface) -> None:
    for name, original in theirs.items():
        assert ours[name].get("enum") == original.get("enum"), name
        assert ours[name].get("constant") == original.get("constant"), name
        assert ours[name].get("file") == original.get("file"), name
        for member, expected in original.get("members", {}).items():
            mine = ours[name]["members"][member]
            assert mine.get("property") == expected.get("property"), f"{name}.{member}"
            assert mine.get("settable") == expected.get("settable"), f"{name}.{member}"
            assert mine.get("enum") == expected.get("enum"), f"{name}.{member}"


def test_initial_values(ours: Surface, theirs: Surface) -> None:
    compared = 0
    for name, (mine, original) in common_classes(ours, theirs).items():
        for attribute, value in original["values"].items():
            expected = None if attribute == REQUEST_ID else value
            assert mine["values"][attribute] == expected, f"{name}.{attribute}"
            compared += 1
    assert compared > 60


def common_classes(ours: Surface, theirs: Surface) -> dict[str, tuple[Surface, Surface]]:
    return {name: (ours[name], original) for name, original in theirs.items() if "members" in original}


def documented() -> list[tuple[str, list[str] | None]]:
    """Each line of documented.txt: a dotted name, and its parameters if it takes any."""
    found: list[tuple[str, list[str] | None]] = []
    for line in (HERE / "documented.txt").read_text().splitlines():
        name, opened, rest = line.partition("(")
        found.append((name, [each for each in rest[:-1].split(", ") if each] if opened else None))
    return found


@pytest.mark.parametrize(("name", "expected"), documented(), ids=[name for name, _ in documented()])
def test_the_documentation(ours: Surface, name: str, expected: list[str] | None) -> None:
    kind, _, member = name.partition(".")
    found = ours[kind]["members"][member] if member else ours[kind]
    if expected is None:
        assert found["property"]
    elif expected == ["value"]:
        assert found["enum"]
    elif expected and expected != ["**kwargs"]:
        written = [f"{each[0]}={each[1]}" if each[1] else each[0] for each in found["parameters"]]
        assert written == expected
