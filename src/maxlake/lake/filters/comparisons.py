"""Comparing Arrow values in SQL's order: NaN equals itself and is above every number (drift.md B.6).

Text compares by code points, which is the order of its UTF-8 bytes; -0.0 equals 0.0.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from maxlake.protocol.predicates.tree import Comparator


def compare(operator: Comparator, left: Any, right: Any) -> Any:  # noqa: PLR0911 - one line an operator
    """Compare two arrays or scalars of one type; NULL where either is NULL, but for ``<=>``."""
    match operator:
        case Comparator.EQUAL:
            return _equal(left, right)
        case Comparator.NOT_EQUAL:
            return pc.invert(_equal(left, right))
        case Comparator.LESS:
            return _less(left, right)
        case Comparator.LESS_EQUAL:
            return pc.invert(_less(right, left))
        case Comparator.GREATER:
            return _less(right, left)
        case Comparator.GREATER_EQUAL:
            return pc.invert(_less(left, right))
        case Comparator.NULL_SAFE_EQUAL:
            both = pc.and_(pc.is_null(left), pc.is_null(right))
            return pc.or_(both, pc.fill_null(_equal(left, right), False))


def _equal(left: Any, right: Any) -> Any:
    equal = pc.equal(left, right)
    if not pat.is_floating(left.type):
        return equal
    return pc.or_(equal, pc.and_(pc.is_nan(left), pc.is_nan(right)))


def _less(left: Any, right: Any) -> Any:
    less = pc.less(left, right)
    if not pat.is_floating(left.type):
        return less
    # or_ and and_ (not Kleene's) keep NULL wherever an operand is NULL.
    return pc.or_(less, pc.and_(pc.is_nan(right), pc.invert(pc.is_nan(left))))


def is_among(value: Any, options: pa.Array) -> Any:
    """Tell whether a value is one of ``options``, of its type; NULL if it is not and one of them is."""
    known = options.drop_null()
    if pat.is_floating(value.type):  # hashing tells -0.0 from 0.0, and NaN from NaN by its other bits
        zero = pa.scalar(0.0, value.type)
        found = pc.is_in(pc.add(value, zero), value_set=pc.add(known, zero))
        if pc.any(pc.is_nan(known)).as_py():
            found = pc.or_(found, pc.is_nan(value))
    else:
        found = pc.is_in(value, value_set=known)
    unknown = pa.scalar(None, pa.bool_())
    otherwise = unknown if options.null_count else pa.scalar(False)
    return pc.if_else(pc.is_null(value), unknown, pc.if_else(found, pa.scalar(True), otherwise))
