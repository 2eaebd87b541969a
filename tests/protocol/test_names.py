"""Names can stand unescaped wherever the protocol puts them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.limits import MAX_NAME_LENGTH
from maxlake.protocol.names import check_name


@pytest.mark.parametrize("name", ["t", "T_1", "1t", "my-project", "表", "x" * MAX_NAME_LENGTH])
def test_names(name: str):
    assert check_name(name, "table") == name


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a.b", "a/b", "a b", "a\n", "a&b", "a=b", "a'b", "a`b", "a\x00"]
)
def test_not_names(text: str):
    with pytest.raises(BadRequestError, match="Not a table name") as caught:
        check_name(text, "table")
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


def test_too_long():
    with pytest.raises(BadRequestError, match="longer than"):
        check_name("x" * (MAX_NAME_LENGTH + 1), "table")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=5))
def test_no_name_holds_a_separator_or_control_character(text: str):
    try:
        check_name(text, "table")
    except BadRequestError:
        return
    assert text
    assert not set(text) & set("./\\:;,&=?#%'\"`<>()[]{}|*$@!~^+ \t\r\n\0")
    assert text.isprintable()
