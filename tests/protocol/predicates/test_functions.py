# ruff: noqa: E501 - one case a line
"""Every function of the allow-list: what a call of it means, and what it does not take."""

from __future__ import annotations

import pytest

from maxlake.protocol.errors import BadRequestError
from maxlake.protocol.predicates.functions import FUNCTIONS
from tests.protocol.predicates.shown import parse, show

CALLS = [
    ("concat(s, i, 'x') = 'a'", "concat(s, cast(i as string), x:string):string"),
    ("upper(v) = toupper(s)", "upper(cast(v as string)):string", "upper(s):string"),
    ("lower(s) = tolower(s)", "lower(s):string"),
    ("length(s) = lengthb(s)", "length(s):bigint", "lengthb(s):bigint"),
    ("trim(s) = ltrim(s, 'x')", "trim(s):string", "ltrim(s, x:string):string"),
    ("rtrim(s) = ''", "rtrim(s):string"),
    ("substr(s, 2) = substring(s, -1, i)", "substr(s, 2:bigint):string", "substr(s, -1:bigint, cast(i as bigint)):string"),
    ("instr(s, 'a') > 0", "instr(s, a:string):bigint"),
    ("replace(s, 'a', 'b') = ''", "replace(s, a:string, b:string):string"),
    ("startswith(s, 'a') or starts_with(s, 'b')", "starts_with(s, a:string):boolean", "starts_with(s, b:string):boolean"),
    ("endswith(s, 'a') or ends_with(s, 'b')", "ends_with(s, a:string):boolean"),
    ("reverse(s) = ''", "reverse(s):string"),
    ("lpad(s, 3, '0') = rpad(i, 3, '-')", "lpad(s, 3:bigint, 0:string):string", "rpad(cast(i as string), 3:bigint, -:string):string"),
    ("split_part(s, ',', 2) = ''", "split_part(s, ,:string, 2:bigint):string"),
    (r"regexp_replace(s, '(a)', '\\1') = ''", r"regexp_replace(s, (a):string, \1:string):string"),
    (r"regexp_extract(s, '([(]\\d)') = ''", r"regexp_extract(s, ([(]\d):string, 1:bigint):string"),
    ("regexp_extract(s, 'a', 0) = ''", "regexp_extract(s, a:string, 0:bigint):string"),
    ("abs(t) = 1 and abs(m) = 1 and abs(f) = 1", "abs(cast(t as bigint)):bigint", "abs(m):decimal(10,2)", "abs(cast(f as double)):double"),
    ("round(d) = 1 and round(m, 1) = 1 and round(i) = 1", "round(d, 0:bigint):double", "round(m, 1:bigint):decimal(10,1)", "cast(i as bigint)"),
    ("round(m, 2) = 1", "(m = 1.00:decimal(10,2))"),
    ("floor(d) = 1 and floor(m) = 1", "floor(d):bigint", "floor(m):decimal(9,0)"),
    ("ceil(s) = ceiling(w)", "ceil(cast(s as double)):bigint", "ceil(w):decimal(21,0)"),
    ("sqrt(i) = 2", "sqrt(cast(i as double)):double"),
    ("pow(i, 2) = power(d, .5)", "pow(cast(i as double), 2.0:double):double", "pow(d, 0.5:double):double"),
    ("isnan(f)", "isnan(cast(f as double)):boolean"),
    ("mod(i, 2) = 1", "mod(cast(i as bigint), 2:bigint):bigint"),
    ("if(o, 1, 2) = 1", "case when o then 1:int else 2:int end:int"),
    ("coalesce(s, 'x') = 'x'", "case when not s is null then s else x:string end:string"),
    ("nvl(s, 'x') = ifnull(s, 'x')", "case when not s is null then s else x:string end:string"),
    ("nullif(i, 0) = 1", "case when (i = 0:int) then None:int else i end:int"),
    *((f"{part}(dt) = 1", f"{part}(dt):bigint") for part in (
        "year", "quarter", "month", "day", "hour", "minute", "second", "weekofyear", "weekday", "dayofweek", "dayofyear",
    )),
    ("dayofmonth(da) = day(s)", "day(da):bigint", "day(cast(s as datetime)):bigint"),
    ("last_day(ts) = da", "last_day(cast(ts as date)):date"),
    ("datediff(dt, da) = 1", "datediff(dt, cast(da as datetime), day:string):bigint"),
    ("datediff(s, '1970-01-02', 'mi') = 1", "datediff(cast(s as datetime), 86400000:datetime, minute:string):bigint"),
    ("dateadd(ts, i, 'MM') = ts", "dateadd(ts, cast(i as bigint), month:string):timestamp"),
    ("dateadd(da, 1, 'hh') = dt", "dateadd(cast(da as datetime), 1:bigint, hour:string):datetime"),
    ("date_add(da, 1) = date_sub(dt, i)", "dateadd(da, 1:bigint, day:string):date", "dateadd(cast(dt as date), negate(cast(i as bigint)):bigint, day:string):date"),
    ("datetrunc(dt, 'yyyy') = dt", "datetrunc(dt, year:string):datetime"),
    ("to_date(s) = to_date(dt)", "cast(cast(s as datetime) as date)", "cast(dt as date)"),
    ("to_date(pt, 'yyyymmdd') = dt", "parse_time(pt, %Y%m%d:string):datetime"),
    ("to_char(dt, 'YYYY-mm-dd hh:mi:ss') = to_char(i)", "format_time(dt, %Y-%m-%d %H:%M:%S:string):string", "cast(i as string)"),
    ("date_format(da, 'yyyy/MM/dd HH.mm') = ''", "format_time(cast(da as datetime), %Y/%m/%d %H.%M:string):string"),
    ("from_unixtime(b) = dt", "from_unixtime(b):datetime"),
    ("unix_timestamp(ts) = 0", "unix_timestamp(cast(ts as datetime)):bigint"),
]  # fmt: skip


@pytest.mark.parametrize("case", CALLS, ids=lambda case: case[0])
def test_calls(case: tuple[str, ...]):
    text, *meanings = case
    shown = show(parse(text))
    for meaning in meanings:
        assert meaning in shown


def test_every_name_is_tested():
    tested = " ".join(case[0].lower() for case in CALLS)
    assert [name for name in FUNCTIONS if f"{name}(" not in tested] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("upper(s, s) = 'a'", "upper takes 1 argument, not 2"),
        ("concat(s) = 'a'", "concat takes 2 to 256 arguments, not 1"),
        ("upper(d) = 'a'", "upper needs a string, not double"),
        ("upper(o) = 'a'", "upper needs a string, not boolean"),
        ("sqrt(da) = 1", "sqrt needs a number, not date"),
        ("year(i) = 1", "year needs a date or an instant, not int"),
        ("year('x') = 1", "the text is no date"),
        ("year(ar) = 1", "year needs a date or an instant, not array<int>"),
        ("substr(s, 1.5) = 'a'", "must be an integer, not double"),
        ("round(d, i) = 1", "whole number from 0 to 15, written out"),
        ("round(d, -1) = 1", "whole number from 0 to 15, written out"),
        ("lpad(s, 99999999, 'x') = 'a'", "The length of lpad must be a whole number from 0"),
        ("lpad(s, 3, '') = 'a'", "The padding of lpad is empty"),
        ("split_part(s, '', 1) = 'a'", "The separator of split_part is empty"),
        ("split_part(s, ',', 0) = 'a'", "whole number from 1"),
        ("regexp_extract(s, 'a') = 'a'", "has no group"),
        ("regexp_extract(s, '(a)', 2) = 'a'", "from 0 to 1"),
        ("regexp_replace(s, '(a)', '\\\\2') = 'a'", "there are groups"),
        ("regexp_replace(s, v, 'a') = 'a'", "must be a string, written out"),
        ("datediff(dt, dt, 'eon') = 1", "datediff has no unit 'eon'"),
        ("to_date(s, 'mm-dd') = dt", "needs a year"),
        ("to_date(s, 'yyyy yyyy') = dt", "each part at most once"),
        ("to_char(dt, 'day') = 'a'", "has 'da'"),
        ("date_format(dt, 'yyyy-mm-DD') = 'a'", "has 'DD'"),
        ("if(i, 1, 2) = 1", "Expecting a condition, not a value of type int"),
        ("coalesce(s, 1) = 1", "have no type in common"),
    ],
)
def test_refused_arguments(text: str, message: str):
    with pytest.raises(BadRequestError, match="filter_predicate, line 1, column") as caught:
        parse(text)
    assert message in str(caught.value)
