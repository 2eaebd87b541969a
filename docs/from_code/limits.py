"""Every limit, with its reason: the lines of ``protocol/limits.py``."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

from from_code.markdown import code, table, without_sources
from maxlake.protocol import limits

_SECTION = re.compile(r"# -- (.+?) -+")
_CONSTANT = re.compile(r"([A-Z][A-Z0-9_]*) = (.+)")
#: Limits that count other things than bytes, though they are powers of two.
_COUNTS = ("Characters", "Values")
_BYTES = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))
_TIMES = (("days", 24 * 60 * 60), ("hours", 60 * 60), ("minutes", 60))


@dataclass(frozen=True)
class Limits:
    """Limits that share a reason: names, and the expressions that stand for their values."""

    section: str
    reason: str
    values: dict[str, str]


def all_limits() -> list[Limits]:
    """Read the module: sections, comments, and the constants below each comment."""
    found: list[Limits] = []
    section, reason = "", ""
    for line in inspect.getsource(limits).splitlines():
        if match := _SECTION.fullmatch(line):
            section = match[1]
        elif line.startswith("#: "):
            reason += line.removeprefix("#:")
        elif match := _CONSTANT.fullmatch(line):
            if reason:
                found.append(Limits(section, without_sources(reason).strip(), {}))
                reason = ""
            found[-1].values[match[1]] = match[2]
    return found


def sections() -> list[str]:
    """Return the names of the sections, in their order."""
    return list(dict.fromkeys(each.section for each in all_limits()))


def limits_table(section: str) -> str:
    """Return the table of one section. Raises ValueError if there is none of that name."""
    chosen = [each for each in all_limits() if each.section == section]
    if not chosen:
        raise ValueError(f"protocol/limits.py has no section {section!r}, but {', '.join(sections())}")
    return table(("Limit", "Value", "What it bounds, and why"), map(_row, chosen))


def shown(name: str, expression: str, reason: str) -> str:
    """Return a limit's value: in the unit that its expression shows, else as a plain number."""
    value = getattr(limits, name)
    factors = set(_factors(ast.parse(expression, mode="eval").body))
    units: tuple[tuple[str, int], ...] = ()
    if 1024 in factors and not reason.startswith(_COUNTS):
        units = _BYTES
    elif 60 in factors:
        units = _TIMES
    for unit, size in units:
        if value >= size and value % size == 0:
            count = value // size
            return f"{count:,}\N{NO-BREAK SPACE}{unit.removesuffix('s') if count == 1 else unit}"
    return f"{value:,}"


def _row(group: Limits) -> list[str]:
    values = [shown(name, expression, group.reason) for name, expression in group.values.items()]
    return [", ".join(map(code, group.values)), ", ".join(values), group.reason]


def _factors(node: ast.expr) -> Iterator[int]:
    """Yield the numbers that a product is made of; a number alone is no product."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        for side in (node.left, node.right):
            if isinstance(side, ast.Constant) and isinstance(side.value, int):
                yield side.value
            yield from _factors(side)
