"""Partition specs, filters and directories."""

from __future__ import annotations

import time
from itertools import product
from urllib.parse import unquote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.limits import MAX_PARTITION_PATH_SEGMENT
from maxlake.protocol.partitions import (
    PartitionSpec,
    hive_path,
    parse_partition_filter,
    parse_partition_spec,
    resolve,
)

KEYS = st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=12)
TRICKY = st.text(st.sampled_from("ab'\",/= "), min_size=1, max_size=8)


def spec(*pairs: tuple[str, str]) -> PartitionSpec:
    return PartitionSpec(pairs)


def refused(text: str) -> str:
    with pytest.raises(BadRequestError) as caught:
        parse_partition_spec(text)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pt=20230101", spec(("pt", "20230101"))),
        ("pt=20230101,region=us-west", spec(("pt", "20230101"), ("region", "us-west"))),
        ("pt=20230101/region=us-west", spec(("pt", "20230101"), ("region", "us-west"))),
        (" PT = '20230101' , region = \"us\" ", spec(("pt", "20230101"), ("region", "us"))),
        ("pt='a,b/c'/r='d'", spec(("pt", "a,b/c"), ("r", "d"))),
        ("pt=a=b", spec(("pt", "a=b"))),
        ("pt=it's", spec(("pt", "it's"))),
        ("pt='it's',r=1", spec(("pt", "it's"), ("r", "1"))),
        ("pt=''a''", spec(("pt", "'a'"))),
        ("pt=' a '", spec(("pt", " a "))),
        ("pt=中文", spec(("pt", "中文"))),
        ("", spec()),
        ("  ", spec()),
    ],
)
def test_forms(text: str, expected: PartitionSpec):
    assert parse_partition_spec(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "pt",
        "=1",
        "pt=",
        "pt=''",
        "pt=1,",
        ",pt=1",
        "pt=1,,r=2",
        "pt=1//r=2",
        "pt='a",
        "pt='a'b",
        "pt= 'a",
        "'pt'=1",
        "p t=1",
        "pt=1,PT=2",
        "pt=a\x00b",
        "pt='a\nb'",
        "../x=1",
        "pt=" + "x" * 256,
        "pt=" + "x" * 10_000,
    ],
)
def test_malformed_specs_name_the_text(text: str):
    assert text[:20] in refused(text) or repr(text)[1:10] in refused(text)


def test_a_hostile_text_is_refused_quickly():
    started = time.monotonic()
    for text in (
        " " * 4096,
        "a" * 4095 + "'",
        "pt='" + "' " * 2000,
        "p" + " " * 4000 + "x",
        "pt=" + " " * 4000 + "'",
    ):
        if text.strip():
            refused(text)
    assert time.monotonic() - started < 1


def test_get_and_str():
    found = parse_partition_spec("Pt='a',region=b")
    assert (found.get("PT"), found.get("region"), found.get("x")) == ("a", "b", None)
    assert str(found) == "pt=a,region=b"
    assert found.keys == ("pt", "region")


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, VALUES | TRICKY, max_size=4))
def test_printed_specs_read_back(values: dict[str, str]):
    try:
        original = PartitionSpec(tuple(values.items()))
    except BadRequestError:
        assume(False)
        return
    assert parse_partition_spec(str(original)) == original
    assert resolve(original, list(values), complete=True) == values


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30) | st.text(st.sampled_from("ab=,/'\" "), max_size=20))
def test_any_text_is_a_spec_that_reads_back_or_an_error(text: str):
    try:
        found = parse_partition_spec(text)
    except BadRequestError:
        return
    assert parse_partition_spec(str(found)) == found


def test_a_value_no_quotes_can_hold_is_refused():
    with pytest.raises(BadRequestError):
        spec(("pt", """a',"/"""))


def test_resolve_names_and_orders_like_the_table():
    resolved = resolve(parse_partition_spec("region=b,pt=a"), ["Pt", "Region"], complete=True)
    assert list(resolved.items()) == [("Pt", "a"), ("Region", "b")]
    assert resolve(spec(), ["pt"], complete=False) == {}
    assert resolve(spec(("region", "b")), ["pt", "region"], complete=False) == {"region": "b"}


@pytest.mark.parametrize(("text", "columns"), [("pt=1", ["pt", "r"]), ("", ["pt"])])
def test_complete_demands_every_key(text: str, columns: list[str]):
    with pytest.raises(BadRequestError, match="lacks"):
        resolve(parse_partition_spec(text), columns, complete=True)


@pytest.mark.parametrize("columns", [[], ["dt"]])
def test_unknown_keys_are_refused(columns: list[str]):
    with pytest.raises(BadRequestError, match="Unknown partition key 'pt'"):
        resolve(spec(("pt", "1")), columns, complete=False)


def taken(*texts: str) -> set[str]:
    chosen = parse_partition_filter(texts, ["pt", "r"])
    every = [{"pt": pt, "r": r} for pt, r in product("123", "ab")]
    return {values["pt"] + values["r"] for values in every if chosen.matches(values)}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], {"1a", "1b", "2a", "2b", "3a", "3b"}),
        (["pt=1"], {"1a", "1b"}),
        (["pt=1", "pt=2"], {"1a", "1b", "2a", "2b"}),
        (["pt=1", "r=a"], {"1a"}),
        (["pt=1", "r=a", "pt=2"], {"1a", "2a"}),
        (["pt=1,r=a", "pt=2,r=b"], {"1a", "2b"}),
        (["pt=1/r='a'", "r=b,pt=2"], {"1a", "2b"}),
        (["pt=1", "r=a", "pt=3,r=b"], {"1a", "3b"}),
        (["pt=3,r=b", "pt=1"], {"1a", "1b", "3b"}),
        (["PT=1", "R=a"], {"1a"}),
        (["pt=9"], set()),
        (["pt=1,r=z"], set()),
    ],
)
def test_filters(texts: list[str], expected: set[str]):
    assert taken(*texts) == expected


@pytest.mark.parametrize("texts", [["dt=1"], ["pt=1", "pt"], [""], ["pt=1,pt=2"]])
def test_filters_refuse_what_they_do_not_understand(texts: list[str]):
    with pytest.raises(BadRequestError) as caught:
        parse_partition_filter(texts, ["pt", "r"])
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


ENTRIES = st.one_of(
    st.sampled_from("123").map(lambda v: (("pt", v),)),
    st.sampled_from("ab").map(lambda v: (("r", v),)),
    st.tuples(st.sampled_from("123"), st.sampled_from("ab")).map(lambda v: (("pt", v[0]), ("r", v[1]))),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(ENTRIES, max_size=5))
def test_filters_follow_the_rule_as_stated(entries: list[tuple[tuple[str, str], ...]]):
    chosen = parse_partition_filter([str(PartitionSpec(pairs)) for pairs in entries], ["pt", "r"])
    singles = [pairs[0] for pairs in entries if len(pairs) == 1]
    for pt, r in product("123", "ab"):
        values = {"pt": pt, "r": r}
        named = {key for key, _ in singles}
        by_singles = bool(named) and all((key, values[key]) in singles for key in named)
        by_specs = any(len(pairs) > 1 and dict(pairs) == values for pairs in entries)
        assert chosen.matches(values) == (not entries or by_singles or by_specs)


def test_hive_path():
    assert hive_path({"pt": "20240101", "region": "eu-1"}) == "pt=20240101/region=eu-1"
    assert hive_path({"pt": "a/../b%"}) == "pt=a%2F..%2Fb%25"
    assert hive_path({"pt": ".."}) == "pt=.."
    assert hive_path({"pt": "中 ~"}) == "pt=%E4%B8%AD%20%7E"
    assert hive_path({}) == ""


@pytest.mark.parametrize(
    "values", [{"pt": ""}, {"pt": "x" * 256}, {"pt": "中" * 80}, {"../x": "1"}, {"pt": "a\nb"}]
)
def test_hive_path_refuses(values: dict[str, str]):
    with pytest.raises(BadRequestError):
        hive_path(values)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, VALUES | TRICKY, min_size=1, max_size=3))
def test_hive_paths_are_safe_and_distinct(values: dict[str, str]):
    try:
        path = hive_path(values)
    except BadRequestError:
        assume(False)
        return
    segments = path.split("/")
    assert [tuple(unquote(part) for part in segment.split("=")) for segment in segments] == list(
        values.items()
    )
    assert all(segment.isascii() and len(segment) <= MAX_PARTITION_PATH_SEGMENT for segment in segments)
