"""Literals of a predicate as Arrow values of their storage type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from maxlake.protocol.predicates.tree import Literal, LiteralValue
from maxlake.protocol.types.model import OdpsType
from maxlake.protocol.types.storage import storage_type


def arrow_values(values: Iterable[LiteralValue], t: OdpsType) -> pa.Array:
    """Return literal values, ticks included, as an array of the storage type of ``t``."""
    return pa.array(list(values), storage_type(t))


def arrow_scalar(literal: Literal) -> Any:
    """Return a literal as a scalar."""
    return arrow_values([literal.value], literal.type)[0]
