"""Partition specs, filters made of them, and the directory a partition lies in (wire.md §4.3).

Values are text throughout. A value of a key that is not a string (bigint, date, ...) is compared by
its canonical text, which whoever knows the key's type supplies.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from maxlake.protocol.errors import BadRequestError, invalid_argument
from maxlake.protocol.limits import MAX_PARTITION_PATH_SEGMENT, MAX_PARTITION_SPEC, MAX_PARTITION_VALUE
from maxlake.protocol.names import check_name

# One `key=value` and the separator after it, scanned in linear time. A quoted value ends at the first
# such quote that a separator or the end follows, so that a quote inside a value needs no escape.
_ENTRY = re.compile(
    r"""\s*+ (?P<key> [^=,/'"]++ ) = \s*+
        (?: (?P<quote> ['"] ) (?P<quoted> .*? ) (?P=quote) \s*+ | (?P<plain> (?!['"]) [^,/]*+ ) )
        (?P<separator> [,/] | \Z )""",
    re.VERBOSE | re.DOTALL,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNSAFE_IN_PATH = re.compile(rb"[^A-Za-z0-9_.-]")


def check_partition_value(value: str, key: str) -> str:
    """Return ``value`` if it can be a partition's value.

    Raises InvalidArgument for an empty one (drift.md B.12), one of more than ``MAX_PARTITION_VALUE``
    bytes of UTF-8, one with control characters, and one that no spec can express.
    """
    if not value:
        raise invalid_argument(f"Partition key {key!r} has an empty value")
    if _CONTROL.search(value):
        raise invalid_argument(f"Partition key {key!r} has a value with control characters: {value!r}")
    if len(value.encode()) > MAX_PARTITION_VALUE:
        raise invalid_argument(
            f"Partition key {key!r} has a value longer than {MAX_PARTITION_VALUE} bytes: {value[:32]!r}..."
        )
    if _quoted(value) is None:
        raise invalid_argument(f"Partition key {key!r} has a value that cannot be quoted: {value!r}")
    return value


def _quoted(value: str) -> str | None:
    """Return ``value`` as it stands in a spec, quoted if need be; None if no quoting preserves it."""
    if value == value.strip() and value[:1] not in ("'", '"') and not re.search("[,/]", value):
        return value
    for quote in "'\"":
        if not re.search(rf"{quote}\s*[,/]", value):
            return f"{quote}{value}{quote}"
    return None


@dataclass(frozen=True, slots=True)
class PartitionSpec:
    """Keys and values in the order they were written; partial or complete, perhaps empty.

    Keys are case-insensitive and kept in lower case. Raises InvalidArgument for malformed or
    repeated keys and for values that ``check_partition_value`` refuses.
    """

    pairs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "pairs", tuple((key.lower(), value) for key, value in self.pairs))
        seen: set[str] = set()
        for key, value in self.pairs:
            check_name(key, "partition column")
            check_partition_value(value, key)
            if key in seen:
                raise invalid_argument(f"Partition key {key!r} is given twice")
            seen.add(key)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys, in order."""
        return tuple(key for key, _ in self.pairs)

    def get(self, key: str) -> str | None:
        """Return the value of ``key``, or None."""
        return dict(self.pairs).get(key.lower())

    def __str__(self) -> str:
        return ",".join(f"{key}={_quoted(value)}" for key, value in self.pairs)


def parse_partition_spec(text: str) -> PartitionSpec:
    """Read a spec: pairs separated by ``,`` or ``/`` outside quotes, values plain or quoted.

    Blank text is the empty spec (wire.md §4.3, drift.md A.10). Raises InvalidArgument naming the text.
    """
    if len(text) > MAX_PARTITION_SPEC:
        raise invalid_argument(f"A partition spec is longer than {MAX_PARTITION_SPEC}: {text[:64]!r}...")
    pairs: list[tuple[str, str]] = []
    position = 0 if text.strip() else len(text)
    separator = ""
    while position < len(text) or separator:
        entry = _ENTRY.match(text, position)
        if entry is None:
            raise invalid_argument(f"Not a partition spec: {text!r}. Expected key=value,key=value")
        value = entry["plain"].rstrip() if entry["quoted"] is None else entry["quoted"]
        pairs.append((entry["key"].rstrip(), value))
        position, separator = entry.end(), entry["separator"]
    try:
        return PartitionSpec(tuple(pairs))
    except BadRequestError as error:
        raise invalid_argument(error.message, where=text) from error


def resolve(spec: PartitionSpec, partition_columns: Sequence[str], *, complete: bool) -> dict[str, str]:
    """Return the spec's values by partition column, named and ordered as the table does.

    ``complete`` demands a value for every column. Raises InvalidArgument for a key the table is not
    partitioned by, and for a missing one.
    """
    values = dict(spec.pairs)
    resolved = {
        column: values.pop(column.lower()) for column in partition_columns if column.lower() in values
    }
    if values:
        known = ", ".join(partition_columns) or "none"
        raise invalid_argument(
            f"Unknown partition key {next(iter(values))!r}; the partition columns are: {known}",
            where=str(spec),
        )
    missing = [column for column in partition_columns if column not in resolved]
    if complete and missing:
        raise invalid_argument(f"The partition spec lacks a value for {', '.join(missing)}", where=str(spec))
    return resolved


@dataclass(frozen=True, slots=True)
class PartitionFilter:
    """Which partitions a read session takes (drift.md B.1). Without conditions: all of them.

    ``conjunction`` holds the allowed values of each key, all of which must be met; ``alternatives``
    holds, by set of keys, the value tuples one of which suffices.
    """

    conjunction: Mapping[str, frozenset[str]]
    alternatives: Mapping[tuple[str, ...], frozenset[tuple[str, ...]]]

    @property
    def takes_everything(self) -> bool:
        """Whether there are no conditions."""
        return not self.conjunction and not self.alternatives

    def matches(self, values: Mapping[str, str]) -> bool:
        """Tell whether the partition with these values, by the table's column names, is taken."""
        if self.takes_everything:
            return True
        if self.conjunction and all(values[key] in allowed for key, allowed in self.conjunction.items()):
            return True
        return any(
            tuple(values[key] for key in keys) in allowed for keys, allowed in self.alternatives.items()
        )


def parse_partition_filter(
    texts: Sequence[str],
    partition_columns: Sequence[str],
    canonical: Callable[[Mapping[str, str]], Mapping[str, str]] = dict,
) -> PartitionFilter:
    """Read RequiredPartitions: single-key entries are OR-ed within a key and AND-ed across keys.

    Entries with several keys are further alternatives (drift.md B.1). An empty list takes everything.
    ``canonical`` turns values into the text partitions carry (``007`` of a bigint key into ``7``).
    Raises InvalidArgument for malformed or blank entries and unknown keys.
    """
    conjunction: defaultdict[str, set[str]] = defaultdict(set)
    alternatives: defaultdict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for text in texts:
        values = canonical(resolve(parse_partition_spec(text), partition_columns, complete=False))
        match list(values.items()):
            case []:
                raise invalid_argument("A required partition is blank; leave it out to read all partitions")
            case [(key, value)]:
                conjunction[key].add(value)
            case _:
                alternatives[tuple(values)].add(tuple(values.values()))
    return PartitionFilter(
        {key: frozenset(allowed) for key, allowed in conjunction.items()},
        {keys: frozenset(allowed) for keys, allowed in alternatives.items()},
    )


def hive_path(values: Mapping[str, str]) -> str:
    """Return the relative directory of a partition, ``pt=20240101/region=eu``, in the mapping's order.

    Bytes of the UTF-8 value outside ``[A-Za-z0-9_.-]`` are percent-encoded, so no text of a user
    reaches a path as it is. Raises InvalidArgument for values that are no partition values and for
    segments longer than file systems take (``MAX_PARTITION_PATH_SEGMENT`` bytes once encoded).
    """
    return "/".join(_hive_segment(key, value) for key, value in values.items())


def _hive_segment(key: str, value: str) -> str:
    check_name(key, "partition column")
    check_partition_value(value, key)
    segment = f"{_percent_encode(key)}={_percent_encode(value)}"
    if len(segment) > MAX_PARTITION_PATH_SEGMENT:
        raise invalid_argument(
            f"Partition {key}={value[:32]!r}... is too long for a path: {len(segment)} bytes once encoded, "
            f"of {MAX_PARTITION_PATH_SEGMENT}"
        )
    return segment


def _percent_encode(text: str) -> str:
    return _UNSAFE_IN_PATH.sub(lambda found: b"%%%02X" % ord(found[0]), text.encode()).decode()
