"""The guide builds, and what it takes from the code is all there."""

import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from sphinx.util.inventory import InventoryFile

import maxlake
from from_code import errors, functions, libraries, limits, states, types
from from_code.markdown import table, without_sources
from maxlake import client, testing
from maxlake.protocol import limits as constants
from maxlake.protocol.enums import StreamState, WriteSessionState
from maxlake.protocol.errors import ErrorCode
from maxlake.protocol.types.model import Kind, OdpsType
from tests.pages import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide as HTML; warnings, such as a link that leads nowhere, are errors, as in `make docs`."""
    place = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, str(DOCS), str(place)], check=False, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return place


def test_every_public_name_is_in_the_reference(built: Path) -> None:
    inventory = InventoryFile.loads((built / "objects.inv").read_bytes(), uri="")
    described = {
        name
        for kind in ("py:class", "py:function", "py:exception", "py:data", "py:module")
        for name in inventory.data.get(kind, {})
    }
    public = {f"{module.__name__}.{name}" for module in (maxlake, client, testing) for name in module.__all__}
    assert public <= described


def test_pages_hold_tables_and_no_notes_of_ours(built: Path) -> None:
    pages = {page.stem: page.read_text() for page in built.glob("*.html")}
    for page, word in {
        "types": "timestamp_ntz",
        "errors": "RowOffsetMismatch",
        "limits": "MAX_COLUMNS",
        "filter": "regexp_extract",
        "sql": "collect_list",
        "concepts": "COMMITTED",
    }.items():
        assert re.search(rf"<td><p>.*{word}|<code.*{word}", pages[page]), page
    notes = {
        page: re.findall(r"[^>]*(?:wire|drift|rest|auth|types)\.md[^<]*", text)
        for page, text in pages.items()
        if page != "design"
    }
    assert not any(notes.values()), notes


def shown(markdown: str) -> list[list[str]]:
    """The cells of a table's rows."""
    return [line.strip("| ").split(" | ") for line in markdown.splitlines()[2:]]


def test_every_type_is_in_its_table() -> None:
    rows = {row[0].strip("`"): row for row in shown(types.types_table())}
    assert rows.keys() >= set(Kind)
    kinds = {type(t) for t in types.all_types()}
    assert kinds == set(OdpsType.__subclasses__())
    assert rows["decimal(10,2)"] == [
        "`decimal(10,2)`",
        "`decimal128(10, 2)`",
        "integers, decimals",
        "`decimal(10,2)`",
    ]
    assert "timestamps with a zone" in rows["timestamp"][2]
    assert "timestamps with a zone" not in rows["timestamp_ntz"][2]
    assert all(row[2] for row in rows.values())


def test_every_type_has_its_place_in_other_libraries() -> None:
    rows = {row[0].strip("`"): row[1:] for row in shown(libraries.libraries_table())}
    assert rows.keys() == {row[0].strip("`") for row in shown(types.types_table())}
    assert rows["bigint"] == ["`int64`", "`int64[pyarrow]`", "`int64`", "`Int64`", "`BIGINT`"]
    assert rows["timestamp"][-1] == "`TIMESTAMP_NS`"


def test_a_type_takes_all_of_a_family_or_none() -> None:
    for t in types.all_types():
        for word, family in types.FAMILIES.items():
            taken = {types.accepts(t, each) for each in family}
            assert len(taken) == 1, (str(t), word)
        assert types.accepts(t, pa.null())
    for t in (types.parse_type(text) for text in ("string", "bigint", "date")):
        assert types.accepts(t, pa.dictionary(pa.int32(), types.arrow_type(t)))


def test_every_error_is_in_its_table() -> None:
    assert [row[0].strip("`") for row in shown(errors.codes_table())] == list(ErrorCode)
    assert errors.meanings().keys() == set(ErrorCode)
    groups = {row[0].strip("`") for row in shown(errors.groups_table())}
    assert {row[3].split("`")[3] for row in shown(errors.codes_table())} <= groups
    own = {name for name in vars(client.errors) if name.endswith("Error")} - groups
    assert {row[0].strip("`") for row in shown(errors.client_table())} == own - {
        "ClientError",
        "MaxlakeError",
    }


def test_every_limit_is_in_its_table() -> None:
    named = {
        name
        for section in limits.sections()
        for row in shown(limits.limits_table(section))
        for name in re.findall(r"`(\w+)`", row[0])
    }
    assert named == {name for name in vars(constants) if name.isupper()}
    page = (DOCS / "limits.md").read_text()
    assert re.findall(r"\{limits-table\} (.+)", page) == limits.sections()
    with pytest.raises(ValueError, match="no section 'no such'"):
        limits.limits_table("no such")


@pytest.mark.parametrize(
    ("name", "expression", "reason", "expected"),
    [
        ("MAX_JSON_BODY", "4 * 1024 * 1024", "Bytes", "4\N{NO-BREAK SPACE}MiB"),
        ("MAX_UNBACKED_VALUES", "16 * 1024 * 1024", "Values of it", "16,777,216"),
        ("SNAPSHOT_RETENTION", "7 * 24 * 60 * 60", "How long", "7\N{NO-BREAK SPACE}days"),
        ("PACK_IDLE_TIME", "60 * 60", "How long", "1\N{NO-BREAK SPACE}hour"),
        ("SMALL_BODY_TIME", "60", "Time", "60"),
        ("MAX_COLUMNS", "1200", "Columns", "1,200"),
    ],
)
def test_limits_have_units(name: str, expression: str, reason: str, expected: str) -> None:
    assert limits.shown(name, expression, reason) == expected


def test_life_cycles_name_every_state() -> None:
    for cycle, all_states in (
        (states.session_table(), WriteSessionState),
        (states.stream_table(), StreamState),
    ):
        assert [row[0].strip("`") for row in shown(cycle)] == list(all_states)
    assert "| `COMMITTED` | refused | `COMMITTED` | refused |" in states.session_table()


def test_functions_are_listed() -> None:
    assert "`regexp_extract`" in functions.filter_functions()
    assert "`collect_list`" in functions.sql_functions()


def test_cells_stay_in_their_row() -> None:
    assert table(["a"], [["x|y\nz"]]).splitlines()[-1] == r"| x\|y z |"
    assert without_sources("So it is (wire.md §4.1).") == "So it is."
    assert without_sources("A bound (its own, drift.md B.20).") == "A bound (its own)."
