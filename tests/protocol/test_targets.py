"""Targets: every documented form, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.targets import BlobTarget, InstanceTarget, TableTarget, Target, parse_target

NAMES = st.text(st.characters(categories=["L", "Nd"], include_characters="_-"), min_size=1, max_size=12)
TARGETS: st.SearchStrategy[Target] = st.one_of(
    st.builds(TableTarget, NAMES, NAMES, NAMES),
    st.builds(InstanceTarget, NAMES, NAMES),
    st.just(BlobTarget()),
)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("projects.p.schemas.s.tables.t", TableTarget("p", "s", "t")),
        ("projects.p.schemas.default.tables.t", TableTarget("p", "default", "t")),
        ("projects.p.schemas..tables.t", TableTarget("p", "default", "t")),
        ("projects.p.tables.t", TableTarget("p", "default", "t")),
        ("projects.tables.tables.tables", TableTarget("tables", "default", "tables")),
        ("projects.p.instances.20250102_x", InstanceTarget("p", "20250102_x")),
        ("generic.blob", BlobTarget()),
    ],
)
def test_documented_forms(text: str, target: Target):
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "projects",
        "projects.p",
        "projects..tables.t",
        "projects.p.tables.",
        "projects.p.tables.t.",
        "projects.p.tables.a.b",
        "projects.p.schemas.s.instances.i",
        "projects.p.instances.",
        "Projects.p.tables.t",
        "projects.p.volumes.v",
        "projects.p.volumes.v.w",
        "generic.blobs",
        "projects.p.tables.a/b",
        "projects.p.tables.a&b=c",
        "projects.p.tables.a b",
        "projects.p.tables.a\n",
        "projects.p.tables.a\x00b",
        "projects.p.tables." + "x" * 129,
        "x" * 100_000,
    ],
)
def test_anything_else_is_an_invalid_argument(text: str):
    with pytest.raises(BadRequestError) as caught:
        parse_target(text)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


def test_targets_check_their_names_however_made():
    with pytest.raises(BadRequestError):
        TableTarget("p", "s", "../etc")
    with pytest.raises(BadRequestError):
        InstanceTarget("p", "")


@settings(max_examples=100, deadline=None)
@given(TARGETS)
def test_the_canonical_form_reads_back(target: Target):
    assert parse_target(str(target)) == target


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"projects\.[^.]*\.(tables|instances)\..*", fullmatch=True))
def test_any_text_is_a_target_or_an_error(text: str):
    try:
        target = parse_target(text)
    except BadRequestError:
        return
    assert parse_target(str(target)) == target
