"""What the README and the guide show is so."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import UnknownOptionError

from maxlake.cli.app import app
from maxlake.client import StorageApiArrowClient
from maxlake.testing import LocalServer, local_server
from tests.pages import PAGES, ROOT, blocks, run_examples, run_project

WITH_EXAMPLES = [page for page in PAGES if blocks(page, "python")]
TESTING = ROOT / "docs" / "testing.md"
DOCUMENTED = ROOT / "tests" / "surface" / "documented.txt"
#: What the clients call themselves, or say in other words.
INTERNAL = {"read_data", "serialize", "write_blobs", "write_frame_to", "tunnel_rest"}
#: Variables and a directory may stand before it, an ampersand behind.
_COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )*(?:\S*/)?(maxlake|make) ([^&]*)&?")


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with local_server() as running:
        yield running


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.stem)
def test_every_example_runs(
    page: Path, server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # for the files that examples write
    ran = run_examples(page, server)
    assert ran or page == TESTING
    odps = server.odps()
    for table in list(odps.list_tables()):
        odps.delete_table(table.name)


@pytest.mark.parametrize("code", ["print(1)", "print(2", "1 / 0", "pass"])
def test_a_page_that_shows_what_is_not_so_is_named(code: str, server: LocalServer, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Text.\n\n```python\n{code}\n```\n\n```text\n2\n```\n")
    with pytest.raises((AssertionError, SyntaxError), match=r"page\.md"):
        run_examples(page, server)


@pytest.mark.slow
def test_the_project_that_is_tested_passes(tmp_path: Path) -> None:
    assert run_project(TESTING, tmp_path).startswith("10 passed")


def named(page: Path) -> set[str]:
    """All methods and properties that the examples of a page name."""
    trees = (ast.parse(block.text) for block in blocks(page, "python"))
    return {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_every_documented_method_has_an_example() -> None:
    documented = set(re.findall(r"^\w+\.([a-z]\w+)", DOCUMENTED.read_text(), re.MULTILINE))
    ours = {name for name in dir(StorageApiArrowClient) if not name.startswith("_")}
    shown = {name for page in WITH_EXAMPLES for name in named(page)}
    assert (documented | ours) - shown == INTERNAL


def commands(page: Path) -> list[list[str]]:
    """The words of each `maxlake` or `make` command that a page shows."""
    lines = (
        line
        for language in ("", "sh")
        for block in blocks(page, language)
        for line in block.text.splitlines()
    )
    found = (_COMMAND.fullmatch(line) for line in lines)
    return [[match[1], *shlex.split(match[2], comments=True)] for match in found if match]


def test_every_command_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    shown = [words for page in PAGES for words in commands(page)]
    assert {"maxlake", "make"} == {words[0] for words in shown}
    for program, *words in shown:
        if program == "make":
            assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE), words
        else:
            app.parse_args(words, exit_on_error=False, print_error=False)
    with pytest.raises(UnknownOptionError):
        app.parse_args(["serve", "--root", "lake", "--ruth"], exit_on_error=False, print_error=False)
