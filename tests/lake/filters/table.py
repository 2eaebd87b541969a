"""Every predicate that is tried on the rows, with what it means."""

from tests.lake.filters.calculations import ARITHMETIC, CASTS, TEXTS, TIMES
from tests.lake.filters.conditions import COMPARISONS, LOGIC, PATTERNS, Meaning

TABLE: list[tuple[str, Meaning]] = [*COMPARISONS, *LOGIC, *PATTERNS, *CASTS, *ARITHMETIC, *TEXTS, *TIMES]

__all__ = ["TABLE", "Meaning"]
