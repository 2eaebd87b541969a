"""Predicates compiled to functions of Arrow batches: every kind of node has one implementation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from maxlake.lake.filters.casts import cast_kernel
from maxlake.lake.filters.comparisons import compare, is_among
from maxlake.lake.filters.functions import call_kernel
from maxlake.lake.filters.kernels import Kernel, arrow
from maxlake.lake.filters.patterns import check_expression, like_expression
from maxlake.lake.filters.values import arrow_scalar, arrow_values
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.predicates.tree import (
    And,
    Call,
    Case,
    Cast,
    ColumnValue,
    Comparison,
    Expression,
    In,
    IsNull,
    Like,
    Literal,
    Not,
    Or,
    RegexpLike,
)
from maxlake.protocol.types.storage import storage_type


@dataclass(frozen=True)
class Program:
    """A compiled expression: of a batch it makes an array, or a scalar that all rows share.

    ``columns`` are those it reads; ``duckdb`` says whether DuckDB has a part in it.
    """

    run: Callable[[pa.RecordBatch], Any]
    columns: tuple[str, ...] = ()
    duckdb: bool = False


def compile_expression(expression: Expression) -> Program:
    """Compile a tree; what reads no column is computed here and now.

    Raises BadRequestError InvalidArgument for what cannot be computed, and for bad regular expressions.
    """
    if isinstance(expression, ColumnValue):
        return Program(partial(_column, expression.name, storage_type(expression.type)), (expression.name,))
    if isinstance(expression, Literal):
        return _constant(arrow_scalar(expression))
    return _applied(_kernel(expression), [compile_expression(part) for part in _operands(expression)])


def _applied(kernel: Kernel, inputs: Sequence[Program]) -> Program:
    columns = tuple(dict.fromkeys(name for program in inputs for name in program.columns))

    def run(batch: pa.RecordBatch) -> Any:
        return kernel.compute([program.run(batch) for program in inputs])

    if not columns:
        return _constant(run(pa.record_batch({})))
    return Program(run, columns, kernel.duckdb or any(program.duckdb for program in inputs))


def _constant(scalar: Any) -> Program:
    return Program(lambda _: scalar)


def _column(name: str, kind: pa.DataType, batch: pa.RecordBatch) -> pa.Array:
    values = batch.column(name)
    # Of nested values only their absence is asked; children may be named differently.
    return values if values.type == kind or pat.is_nested(kind) else values.cast(kind)


def _operands(expression: Expression) -> tuple[Expression, ...]:
    """Return the inputs that are computed for every row."""
    return (expression.operand,) if isinstance(expression, In) else expression.inputs()


def _kernel(expression: Expression) -> Kernel:  # noqa: PLR0911 - one line a node
    match expression:
        case Comparison(operator=operator):
            return arrow(partial(compare, operator))
        case And():
            return Kernel(partial(reduce, pc.and_kleene))
        case Or():
            return Kernel(partial(reduce, pc.or_kleene))
        case Not():
            return arrow(pc.invert)
        case IsNull():
            return arrow(pc.is_null)
        case In(options=options):
            known = arrow_values([option.value for option in options], expression.operand.type)
            return arrow(partial(is_among, options=known))
        case Like():
            return _matching(like_expression(expression))
        case RegexpLike(pattern=pattern):
            return _matching(pattern)
        case Case():
            return Kernel(_choose)
        case Cast():
            return cast_kernel(expression.operand.type, expression.type)
        case Call():
            return call_kernel(expression)
        case _:
            raise invalid_argument(f"a predicate cannot hold {type(expression).__name__}")


def _matching(pattern: str) -> Kernel:
    check_expression(pattern)
    return arrow(partial(pc.match_substring_regex, pattern=pattern))


def _choose(inputs: Sequence[Any]) -> Any:
    """Return the value after the first TRUE condition, of conditions and values in turn and the last."""
    chosen = inputs[-1]
    for position in range(len(inputs) - 3, -1, -2):
        chosen = pc.if_else(pc.fill_null(inputs[position], False), inputs[position + 1], chosen)
    return chosen
