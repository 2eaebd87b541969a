"""Queries mean one thing or are refused."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.limits import MAX_QUERY_PARAMETERS
from maxlake.protocol.query import SERVED_PARAMETERS, parse_query

NAMES = st.text(st.characters(exclude_categories=["C"], exclude_characters="&="), min_size=1)
VALUES = st.text(st.characters(exclude_categories=["C"]))


def test_values_are_decoded_once_and_may_be_absent():
    assert parse_query("extended&a=&partition=pt%3D%27v%27%2Ca=b&n=x+y%252F") == {
        "extended": "",
        "a": "",
        "partition": "pt='v',a=b",
        "n": "x y%2F",
    }
    assert parse_query("") == {}


@pytest.mark.parametrize(
    "raw",
    ["a=1&a=1", "a&%61", "=1", "%26=1", "a%3D=1", "a%0D=1", "a=%00", "a=%C2%85", "a=%FF", "%FF=1"],
)
def test_ambiguous_queries_are_refused(raw: str):
    with pytest.raises(BadRequestError) as caught:
        parse_query(raw)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


def test_the_number_of_parameters_is_limited():
    assert len(parse_query("&".join(f"a{n}=1" for n in range(MAX_QUERY_PARAMETERS)))) == MAX_QUERY_PARAMETERS
    with pytest.raises(BadRequestError):
        parse_query("&".join(f"a{n}=1" for n in range(MAX_QUERY_PARAMETERS + 1)))


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_what_is_encoded_is_decoded(parameters: dict[str, str]):
    assert parse_query(urlencode(parameters)) == parameters


def test_every_parameter_the_server_reads_is_known():
    source = Path(__file__).parents[2] / "src/maxlake/server"
    read = re.compile(r'(?:parameters|self)\.(?:text|unsigned|flag|identifier|boolean)\("(\w+)"')
    names = {name for file in source.rglob("*.py") for name in read.findall(file.read_text())}
    assert len(names) > 15
    assert names <= SERVED_PARAMETERS
