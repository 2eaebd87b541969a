from __future__ import annotations

import pytest
from hypothesis import given, settings

from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.limits import MAX_NESTING, MAX_TYPE_NODES
from maxlake.protocol.types.model import Char, Decimal, Kind, Simple, Struct, StructField, Vector
from maxlake.protocol.types.text import parse_type
from tests.protocol.types.strategies import TYPES


@given(TYPES)
@settings(max_examples=150, deadline=None)
def test_text_round_trip(t):
    assert parse_type(str(t)) == t
    assert hash(parse_type(str(t))) == hash(t)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_simple_type_in_any_case(kind):
    assert parse_type(f" {kind.value.upper()} ") == Simple(kind)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("DECIMAL", "decimal"),
        ("decimal ( 10 )", "decimal(10,0)"),
        ("Decimal(54, 18)", "decimal(54,18)"),
        ("CHAR(255)", "char(255)"),
        ("varchar( 65535 )", "varchar(65535)"),
        ("vector(FLOAT, 3)", "vector(float,3)"),
        ("Array< Array <int> >", "array<array<int>>"),
        ("MAP<STRING,map<bigint , double>>", "map<string,map<bigint,double>>"),
        ("struct<myF:int,`Ab`:string>", "struct<myf:int,ab:string>"),
        ("struct<`a b`:int, `int`:date>", "struct<`a b`:int,int:date>"),
    ],
)
def test_printed_form(text, printed):
    assert str(parse_type(text)) == printed


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "integer", "void", "char", "varchar", "char(0)", "char(256)", "varchar(65536)", "decimal(0)",
        "decimal(77)", "decimal(10,11)", "decimal()", "decimal(1", "decimal(-1)", "int(3)", "int int",
        "array",
        "array<>", "array<int", "array<int>>", "array(int)", "map<int>", "map<int,int,int>", "struct<>",
        "struct<a>", "struct<a:int,>", "struct<a:int,A:string>", "struct<`a.b`:int>", "struct<``:int>",
        "struct<`a:int>", "vector<float,3>", "vector(string,3)", "vector(float)", "vector(float,0)",
        "int;drop", "decimal(99999999999999999999)", "decimal(\u0661)",
        "struct<`a\n`:int>",
    ],
)  # fmt: skip
def test_refused(text):
    with pytest.raises(BadRequestError) as caught:
        parse_type(text)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


def test_error_names_the_position():
    with pytest.raises(BadRequestError, match="position 10: unknown type 'strin'"):
        parse_type("map<int , strin>")


def test_nesting_and_size_are_limited():
    deepest = "array<" * MAX_NESTING + "int" + ">" * MAX_NESTING
    assert str(parse_type(deepest)) == deepest
    with pytest.raises(BadRequestError, match="nested deeper"):
        parse_type(f"array<{deepest}>")
    with pytest.raises(BadRequestError, match="nested deeper"):
        parse_type("array<" * 100_000)
    with pytest.raises(BadRequestError, match="more than"):
        parse_type("struct<" + ",".join(f"a{i}:int" for i in range(MAX_TYPE_NODES)) + ">")


def test_values_compare_by_meaning():
    assert Decimal(10) == Decimal(10, 0)
    assert Decimal().digits == (38, 18)
    assert Decimal() != Decimal(38, 18)
    assert StructField("A", Char(1)) == StructField("a", Char(1))
    assert Struct((StructField("a", Char(1)),)) != Struct((StructField("b", Char(1)),))
    assert Vector(Simple(Kind.FLOAT), 2) != Vector(Simple(Kind.FLOAT), 3)
