"""ODPS types as values: frozen, hashable, printed in one canonical form (types.md §1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.limits import (
    MAX_CHAR_LENGTH,
    MAX_DECIMAL_PRECISION,
    MAX_NAME_LENGTH,
    MAX_VARCHAR_LENGTH,
    MAX_VECTOR_LENGTH,
)


class Kind(StrEnum):
    """The types that take no parameters, by the word they have in SQL."""

    TINYINT = "tinyint"
    SMALLINT = "smallint"
    INT = "int"
    BIGINT = "bigint"
    FLOAT = "float"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    STRING = "string"
    BINARY = "binary"
    DATE = "date"
    DATETIME = "datetime"
    TIMESTAMP = "timestamp"
    TIMESTAMP_NTZ = "timestamp_ntz"
    INTERVAL_DAY_TIME = "interval_day_time"
    INTERVAL_YEAR_MONTH = "interval_year_month"
    JSON = "json"
    BLOB = "blob"
    VARIANT = "variant"


#: What a vector may hold.
NUMERIC_KINDS = frozenset((Kind.TINYINT, Kind.SMALLINT, Kind.INT, Kind.BIGINT, Kind.FLOAT, Kind.DOUBLE))

#: Precision and scale of ``decimal`` without parameters (types.md §2).
BARE_DECIMAL = (38, 18)


class OdpsType:
    """Base of all types. Values compare by meaning; ``str`` gives the type text in lower case."""

    def children(self) -> tuple[OdpsType, ...]:
        """The types directly inside this one, in declared order."""
        return ()


def walk(t: OdpsType) -> Iterator[OdpsType]:
    """Yield ``t`` and every type inside it, a parent before its children."""
    yield t
    for child in t.children():
        yield from walk(child)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise invalid_argument(message)


@dataclass(frozen=True)
class Simple(OdpsType):
    """A type without parameters."""

    kind: Kind

    def __str__(self) -> str:
        return self.kind.value


@dataclass(frozen=True)
class Decimal(OdpsType):
    """A decimal; both parameters None is the bare type, which behaves as decimal(38,18).

    A precision without a scale means scale 0 and is kept so. Raises InvalidArgument for a precision
    outside 1..76 or a scale outside 0..precision; more than 38 digits is a type, but not storable.
    """

    precision: int | None = None
    scale: int | None = None

    def __post_init__(self) -> None:
        if self.precision is None:
            _require(self.scale is None, "a decimal with a scale needs a precision: write decimal(p,s)")
            return
        if self.scale is None:
            object.__setattr__(self, "scale", 0)
        precision, scale = self.digits
        _require(
            1 <= precision <= MAX_DECIMAL_PRECISION,
            f"decimal precision {precision} is outside 1..{MAX_DECIMAL_PRECISION}",
        )
        _require(0 <= scale <= precision, f"decimal scale {scale} is outside 0..{precision} (the precision)")

    @property
    def digits(self) -> tuple[int, int]:
        """Precision and scale in force."""
        if self.precision is None or self.scale is None:
            return BARE_DECIMAL
        return self.precision, self.scale

    def __str__(self) -> str:
        return "decimal" if self.precision is None else f"decimal({self.precision},{self.scale})"


@dataclass(frozen=True)
class Char(OdpsType):
    """Text of at most ``length`` characters (1..255); never padded. Raises InvalidArgument."""

    length: int

    def __post_init__(self) -> None:
        _require(
            1 <= self.length <= MAX_CHAR_LENGTH, f"char length {self.length} is outside 1..{MAX_CHAR_LENGTH}"
        )

    def __str__(self) -> str:
        return f"char({self.length})"


@dataclass(frozen=True)
class Varchar(OdpsType):
    """Text of at most ``length`` characters (1..65535). Raises InvalidArgument."""

    length: int

    def __post_init__(self) -> None:
        _require(
            1 <= self.length <= MAX_VARCHAR_LENGTH,
            f"varchar length {self.length} is outside 1..{MAX_VARCHAR_LENGTH}",
        )

    def __str__(self) -> str:
        return f"varchar({self.length})"


@dataclass(frozen=True)
class Vector(OdpsType):
    """Exactly ``length`` numbers of one type. Raises InvalidArgument for another element type."""

    element: OdpsType
    length: int

    def __post_init__(self) -> None:
        numeric = isinstance(self.element, Simple) and self.element.kind in NUMERIC_KINDS
        _require(numeric, f"a vector holds numbers, not {self.element}")
        _require(
            1 <= self.length <= MAX_VECTOR_LENGTH,
            f"vector length {self.length} is outside 1..{MAX_VECTOR_LENGTH}",
        )

    def children(self) -> tuple[OdpsType, ...]:
        """The element type."""
        return (self.element,)

    def __str__(self) -> str:
        return f"vector({self.element},{self.length})"


@dataclass(frozen=True)
class Array(OdpsType):
    """Any number of items of one type."""

    item: OdpsType

    def children(self) -> tuple[OdpsType, ...]:
        """The item type."""
        return (self.item,)

    def __str__(self) -> str:
        return f"array<{self.item}>"


@dataclass(frozen=True)
class Map(OdpsType):
    """Keys, each at most once, with their values."""

    key: OdpsType
    value: OdpsType

    def children(self) -> tuple[OdpsType, ...]:
        """The key type, then the value type."""
        return (self.key, self.value)

    def __str__(self) -> str:
        return f"map<{self.key},{self.value}>"


_PLAIN_NAME = re.compile(r"[^\W\d]\w*")
# '.' separates the parts of a path such as c.f1 (wire.md §4.7), the rest would need escaping.
_FORBIDDEN_IN_MEMBER = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff`./'\"\\]")


@dataclass(frozen=True)
class StructField:
    """A named member of a struct. The name folds to lower case, as in PyODPS (types.md §1).

    Raises InvalidArgument for a name that is empty, too long, or holds a control character, a quote,
    a slash or a dot.
    """

    name: str
    type: OdpsType

    def __post_init__(self) -> None:
        folded = self.name.lower()
        _require(bool(folded.strip()), "a struct member needs a name")
        _require(
            len(folded) <= MAX_NAME_LENGTH, f"struct member name is longer than {MAX_NAME_LENGTH} characters"
        )
        _require(
            _FORBIDDEN_IN_MEMBER.search(folded) is None,
            f"struct member name {self.name!r} holds a quote, slash, dot or control character",
        )
        object.__setattr__(self, "name", folded)

    def __str__(self) -> str:
        name = self.name if _PLAIN_NAME.fullmatch(self.name) else f"`{self.name}`"
        return f"{name}:{self.type}"


@dataclass(frozen=True)
class Struct(OdpsType):
    """Named members in declared order; at least one. Raises InvalidArgument for a repeated name."""

    fields: tuple[StructField, ...]

    def __post_init__(self) -> None:
        _require(bool(self.fields), "a struct needs at least one member")
        seen: set[str] = set()
        for field in self.fields:
            _require(field.name not in seen, f"struct member {field.name!r} is declared twice")
            seen.add(field.name)

    def children(self) -> tuple[OdpsType, ...]:
        """The member types."""
        return tuple(field.type for field in self.fields)

    def __str__(self) -> str:
        return f"struct<{','.join(map(str, self.fields))}>"


def members(t: OdpsType) -> tuple[tuple[str, OdpsType], ...]:
    """Return name and type of what is directly inside ``t``: ``element``, ``key`` and ``value``, members."""
    match t:
        case Array() | Vector():
            return (("element", t.children()[0]),)
        case Map():
            return (("key", t.key), ("value", t.value))
        case Struct():
            return tuple((f.name, f.type) for f in t.fields)
        case _:
            return ()
