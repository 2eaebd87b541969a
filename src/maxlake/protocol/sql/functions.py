"""ODPS's functions in DuckDB: which there are, how many arguments they take, and what computes them.

A name that DuckDB has with the same meaning is called directly; ``odps_…`` are macros (lake/sql/macros.sql);
the few functions whose call depends on a written constant (a unit, a format) are built here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlglot import exp

from maxlake.protocol.predicates.errors import Mistake
from maxlake.protocol.predicates.formats import JAVA_LETTERS, ODPS_LETTERS, time_format
from maxlake.protocol.sql.tree import refuse

Arguments = list[exp.Expr]
Build = Callable[[Arguments], exp.Expr]
_MANY = 1000


@dataclass(frozen=True, slots=True)
class Function:
    """A function: how few and how many arguments it takes, and what a call of it means in DuckDB.

    ``aggregates`` says whether it takes DISTINCT, FILTER and (as all window functions do) OVER.
    """

    fewest: int
    most: int
    build: Build
    aggregates: bool = False


def call(name: str, *arguments: exp.Expr) -> exp.Expr:
    """Return a call of a DuckDB function."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def _to(name: str) -> Build:
    return lambda arguments: call(name, *arguments)


def _written(node: exp.Expr, what: str) -> str:
    if isinstance(node, exp.Literal) and node.is_string:
        return str(node.name)
    return refuse(node, f"{what} must be a string, written out")


# -- dates -------------------------------------------------------------------------------------------

#: The units of dateadd, datediff, datetrunc and datepart by every word for them.
_UNITS = {
    word: unit
    for unit, words in {
        "year": ("yyyy", "year", "years"),
        "quarter": ("q", "quarter"),
        "month": ("mm", "mon", "month", "months"),
        "week": ("week", "w"),
        "day": ("dd", "day", "days"),
        "hour": ("hh", "hour", "hours"),
        "minute": ("mi", "minute", "minutes"),
        "second": ("ss", "second", "seconds"),
        "millisecond": ("ff3",),
        "microsecond": ("ff6",),
    }.items()
    for word in words
}
_TIME_UNITS = ("hour", "minute", "second", "millisecond", "microsecond")


def _unit(node: exp.Expr) -> str:
    word = _written(node, "The unit").lower()
    return _UNITS.get(word) or refuse(node, f"There is no unit {word[:20]!r}: yyyy, mm, dd, hh, mi, ss")


def _dateadd(arguments: Arguments) -> exp.Expr:
    start, amount = arguments[:2]
    unit = _unit(arguments[2]) if len(arguments) > 2 else "day"
    name = "odps_add_time" if unit in _TIME_UNITS else "odps_add_days"
    weeks_or_months = {"quarter": ("months", 3), "week": ("days", 7)}
    interval, factor = weeks_or_months.get(unit, (f"{unit}s", 1))
    if factor > 1:
        amount = exp.Mul(this=exp.Paren(this=amount), expression=exp.Literal.number(factor))
    return call(name, start, call(f"odps_{interval}", amount))


def _datediff(arguments: Arguments) -> exp.Expr:
    unit = _unit(arguments[2]) if len(arguments) > 2 else "day"
    return call("odps_datediff", exp.Literal.string(unit), *arguments[:2])


def _datetrunc(arguments: Arguments) -> exp.Expr:
    return call("odps_datetrunc", exp.Literal.string(_unit(arguments[1])), arguments[0])


def _datepart(arguments: Arguments) -> exp.Expr:
    return call("odps_datepart", exp.Literal.string(_unit(arguments[1])), arguments[0])


def _format(node: exp.Expr, letters: dict[str, str]) -> exp.Expr:
    try:
        return exp.Literal.string(time_format(_written(node, "The format"), letters))
    except Mistake as mistake:
        return refuse(node, str(mistake))


def _to_char(arguments: Arguments) -> exp.Expr:
    if len(arguments) == 1:
        return call("odps_text", *arguments)
    return call("odps_format_time", arguments[0], _format(arguments[1], ODPS_LETTERS))


def _date_format(arguments: Arguments) -> exp.Expr:
    return call("odps_format_time", arguments[0], _format(arguments[1], JAVA_LETTERS))


def _to_date(arguments: Arguments) -> exp.Expr:
    if len(arguments) == 1:
        return call("odps_date", *arguments)
    return call("odps_parse_time", arguments[0], _format(arguments[1], ODPS_LETTERS))


def _from_unixtime(arguments: Arguments) -> exp.Expr:
    instant = call("odps_from_unixtime", arguments[0])
    if len(arguments) == 1:
        return instant
    return call("odps_format_time", instant, _format(arguments[1], JAVA_LETTERS))


# -- others ------------------------------------------------------------------------------------------


def _concat(arguments: Arguments) -> exp.Expr:
    """Texts or lists one after the other; NULL if one of them is."""
    found = arguments[0]
    if len(arguments) == 1:
        return call("odps_text", found)
    for argument in arguments[1:]:
        found = exp.DPipe(this=found, expression=argument)
    return exp.Paren(this=found)


def _concat_ws(arguments: Arguments) -> exp.Expr:
    return call("odps_concat_ws", arguments[0], call("list_value", *arguments[1:]))


def _named_struct(arguments: Arguments) -> exp.Expr:
    names, values = arguments[0::2], arguments[1::2]
    if len(names) != len(values):
        refuse(arguments[0], "named_struct takes names and values by turns")
    members = [
        exp.PropertyEQ(
            this=exp.to_identifier(_written(name, "A member's name"), quoted=True), expression=value
        )
        for name, value in zip(names, values, strict=True)
    ]
    return exp.Struct(expressions=members)


def _map(arguments: Arguments) -> exp.Expr:
    keys, values = arguments[0::2], arguments[1::2]
    if len(keys) != len(values):
        refuse(arguments[0], "map takes keys and values by turns")
    return call("map", call("list_value", *keys), call("list_value", *values))


def _decode(arguments: Arguments) -> exp.Expr:
    subject, rest = arguments[0], arguments[1:]
    branches = [
        exp.If(this=exp.NullSafeEQ(this=subject.copy(), expression=key), true=value)
        for key, value in zip(rest[0::2], rest[1::2], strict=False)
    ]
    return exp.Case(ifs=branches, default=rest[-1] if len(rest) % 2 else None)


def _wm_concat(arguments: Arguments) -> exp.Expr:
    return call("string_agg", call("odps_text", arguments[1]), arguments[0])


def _collected(*, distinct: bool) -> Build:
    """A list of the values that are not NULL."""

    def build(arguments: Arguments) -> exp.Expr:
        (value,) = arguments
        known = exp.Not(this=exp.Is(this=value.copy(), expression=exp.Null()))
        collected = exp.Distinct(expressions=[value]) if distinct else value
        return exp.Filter(this=call("list", collected), expression=exp.Where(this=known))

    return build


def _percentile(arguments: Arguments) -> exp.Expr:
    return call("quantile_cont", *arguments[:2])


def _log(arguments: Arguments) -> exp.Expr:
    return call("odps_log", *arguments)


def _ignoring_nulls(name: str, kind: type[exp.Expr]) -> Build:
    """``first_value(x, true)`` skips NULLs."""

    def build(arguments: Arguments) -> exp.Expr:
        found = call(name, arguments[0])
        if len(arguments) == 1:
            return found
        flag = arguments[1]
        if not isinstance(flag, exp.Boolean):
            refuse(flag, "Whether NULLs are ignored must be written out: true or false")
        return exp.IgnoreNulls(this=kind(this=arguments[0])) if flag.this else found

    return build


def _same(*names: str, fewest: int = 1, most: int = 1) -> dict[str, Function]:
    return {name: Function(fewest, most, _to(name)) for name in names}


def _macros(*names: str, fewest: int = 1, most: int = 1) -> dict[str, Function]:
    return {name: Function(fewest, most, _to(f"odps_{name}")) for name in names}


def _renamed(names: dict[str, str], fewest: int = 1, most: int = 1) -> dict[str, Function]:
    return {name: Function(fewest, most, _to(target)) for name, target in names.items()}


def _aggregates(names: dict[str, str], fewest: int = 1, most: int = 1) -> dict[str, Function]:
    return {name: Function(fewest, most, _to(target), aggregates=True) for name, target in names.items()}


FUNCTIONS: dict[str, Function] = {
    # -- numbers
    **_same("abs", "sign", "exp", "ln", "log2", "log10", "cbrt", "degrees", "radians", "isnan", "factorial"),
    **_same("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "cot", "even"),
    **_same("atan2", fewest=2, most=2),
    **_same("greatest", "least", fewest=1, most=_MANY),
    **_same("pi", fewest=0, most=0),
    **_macros("sqrt", "ceil", "floor", "bin", "hex", "unhex"),
    **_renamed({"ceiling": "odps_ceil"}),
    **_macros("round", "trunc", "rand", fewest=0, most=2),
    **_macros("pow", "pmod", "mod", "shiftleft", "shiftright", fewest=2, most=2),
    **_renamed({"power": "odps_pow"}, 2, 2),
    "log": Function(1, 2, _log),
    # -- text
    **_macros("lower", "upper", "length", "lengthb", "reverse", "initcap", "space", "md5", "sha1", "sha"),
    **_macros("base64", "unbase64", "url_encode", "url_decode", "ascii", "chr", "char"),
    **_renamed({"tolower": "odps_lower", "toupper": "odps_upper", "lcase": "odps_lower"}),
    **_renamed({"ucase": "odps_upper", "char_length": "odps_length", "character_length": "odps_length"}),
    **_macros("trim", "ltrim", "rtrim", fewest=1, most=2),
    **_macros("substr", "regexp_extract", fewest=2, most=3),
    **_renamed({"substring": "odps_substr"}, 2, 3),
    **_macros("instr", fewest=2, most=4),
    **_macros("locate", fewest=2, most=3),
    **_macros("replace", "translate", "split_part", "substring_index", "regexp_replace", fewest=3, most=3),
    **_macros("lpad", "rpad", fewest=3, most=3),
    **_macros("repeat", "regexp_count", "find_in_set", "sha2", "startswith", "endswith", fewest=2, most=2),
    **_macros("split", "get_json_object", fewest=2, most=2),
    **_renamed({"starts_with": "odps_startswith", "ends_with": "odps_endswith"}, 2, 2),
    **_macros("keyvalue", fewest=2, most=4),
    "concat": Function(1, _MANY, _concat),
    "concat_ws": Function(2, _MANY, _concat_ws),
    # -- choices
    **_same("coalesce", fewest=1, most=_MANY),
    **_same("nullif", fewest=2, most=2),
    **_renamed({"nvl": "coalesce", "ifnull": "coalesce"}, 2, 2),
    "decode": Function(3, _MANY, _decode),
    # -- dates
    **_macros("year", "quarter", "month", "day", "hour", "minute", "second", "weekofyear", "weekday"),
    **_macros("dayofweek", "dayofyear", "last_day", "to_millis"),
    **_renamed({"dayofmonth": "odps_day", "lastday": "odps_lastday", "date": "odps_date"}),
    **_macros("unix_timestamp", fewest=0, most=1),
    **_macros("getdate", "now", "current_timestamp", "current_date", "localtimestamp", fewest=0, most=0),
    **_macros("date_add", "date_sub", "add_months", "months_between", "next_day", fewest=2, most=2),
    "dateadd": Function(2, 3, _dateadd),
    "datediff": Function(2, 3, _datediff),
    "datetrunc": Function(2, 2, _datetrunc),
    "datepart": Function(2, 2, _datepart),
    "to_char": Function(1, 2, _to_char),
    "date_format": Function(2, 2, _date_format),
    "to_date": Function(1, 2, _to_date),
    "from_unixtime": Function(1, 2, _from_unixtime),
    # -- collections
    **_renamed({"array": "list_value"}, 0, _MANY),
    **_macros("size", "map_keys", "map_values", "map_entries", "map_from_entries", "array_distinct"),
    **_macros("array_max", "array_min", "to_json"),
    **_renamed({"cardinality": "odps_size"}),
    **_macros("sort_array", fewest=1, most=2),
    **_macros("array_join", fewest=2, most=3),
    **_macros("array_contains", "array_position", "array_remove", "array_union", fewest=2, most=2),
    **_macros("array_intersect", "array_except", "array_repeat", "arrays_overlap", fewest=2, most=2),
    **_renamed({"array_concat": "list_concat"}, 2, 2),
    **_renamed({"transform": "list_transform", "filter": "list_filter"}, 2, 2),
    **_macros("slice", fewest=3, most=3),
    **_macros("sequence", fewest=2, most=2),
    **_macros("str_to_map", fewest=1, most=3),
    "explode": Function(1, 1, _to("unnest")),
    "named_struct": Function(2, _MANY, _named_struct),
    "map": Function(0, _MANY, _map),
    # -- aggregates
    **_aggregates({"sum": "sum", "avg": "avg", "min": "min", "max": "max", "median": "median"}),
    **_aggregates({"stddev": "stddev_pop", "stddev_pop": "stddev_pop", "stddev_samp": "stddev_samp"}),
    **_aggregates({"variance": "var_pop", "var_pop": "var_pop", "var_samp": "var_samp"}),
    **_aggregates({"any_value": "any_value", "approx_distinct": "approx_count_distinct"}),
    **_aggregates({"count_if": "count_if", "bool_and": "bool_and", "bool_or": "bool_or"}),
    **_aggregates({"bitwise_and_agg": "bit_and"}),
    **dict.fromkeys(("collect_list", "array_agg"), Function(1, 1, _collected(distinct=False), True)),
    "collect_set": Function(1, 1, _collected(distinct=True), aggregates=True),
    **_aggregates({"bitwise_or_agg": "bit_or", "bitwise_xor_agg": "bit_xor"}),
    **_aggregates({"corr": "corr", "covar_pop": "covar_pop", "covar_samp": "covar_samp"}, 2, 2),
    **_aggregates(
        {"max_by": "arg_max", "arg_max": "arg_max", "min_by": "arg_min", "arg_min": "arg_min"}, 2, 2
    ),
    **_aggregates({"grouping": "grouping"}),
    "count": Function(1, _MANY, _to("count"), aggregates=True),
    "wm_concat": Function(2, 2, _wm_concat, aggregates=True),
    "percentile": Function(2, 3, _percentile, aggregates=True),
    "percentile_approx": Function(2, 3, _percentile, aggregates=True),
    # -- windows
    **_same("row_number", "rank", "dense_rank", "percent_rank", "cume_dist", fewest=0, most=0),
    **_same("ntile"),
    **_same("lag", "lead", fewest=1, most=3),
    **_same("nth_value", fewest=2, most=2),
    "first_value": Function(1, 2, _ignoring_nulls("first_value", exp.FirstValue)),
    "last_value": Function(1, 2, _ignoring_nulls("last_value", exp.LastValue)),
}
