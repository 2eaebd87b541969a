"""``Filter``: a predicate ready to judge partitions, files, row groups and rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from maxlake.lake.filters.bounds import Bounds
from maxlake.lake.filters.evaluation import Program, compile_expression
from maxlake.lake.filters.pruning import outcomes
from maxlake.lake.filters.values import as_array
from maxlake.protocol.predicates.tree import ColumnValue, Expression, columns, conjuncts
from maxlake.protocol.types.storage import storage_type


class Filter:
    """A compiled predicate. Built once, then safe to use from any number of threads.

    Raises BadRequestError InvalidArgument for a predicate that is well typed but cannot be evaluated: a
    regular expression that is none.
    """

    def __init__(self, expression: Expression) -> None:
        self._conditions = conjuncts(expression)
        programs = [(condition, compile_expression(condition)) for condition in self._conditions]
        #: Arrow's first: DuckDB is given only the rows still wanted.
        self._programs = sorted((program for _, program in programs), key=lambda program: program.duckdb)
        read = columns(expression)
        self.columns: tuple[str, ...] = tuple(dict.fromkeys(column.name for column in read))
        self._keys = {column.name: column for column in read if column.partition}
        self._of_partition = [
            program
            for condition, program in programs
            if all(column.partition for column in columns(condition))
        ]

    def may_match_partition(self, values: Mapping[str, str | None]) -> bool:
        """Tell whether any row of the partition with these values (by column) can be wanted."""
        return self.matching_partitions([values])[0]

    def matching_partitions(self, partitions: Sequence[Mapping[str, str | None]]) -> list[bool]:
        """Answer :meth:`may_match_partition` for many partitions at the price of one.

        Conditions on partition columns alone are evaluated, others judged from what is known of a row.
        """
        if not partitions:
            return []
        keys = {name: _key_values(column, partitions) for name, column in self._keys.items()}
        rows = pa.RecordBatch.from_arrays(
            [*keys.values(), pa.nulls(len(partitions))], names=[*keys, ""]
        )  # the last column only counts the rows
        possible: list[bool] = _all_of(self._of_partition, rows).to_pylist()
        return possible

    def may_match(self, bounds: Mapping[str, Bounds]) -> bool:
        """Tell whether any row within these bounds (by column; what is missing is unknown) can be wanted."""
        return all(outcomes(condition, bounds).true for condition in self._conditions)

    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Return which rows are wanted, never NULL.

        ``batch`` has at least :attr:`columns`, in their storage types (dictionaries of them will do).
        """
        return _all_of(self._programs, batch)


def _key_values(column: ColumnValue, partitions: Sequence[Mapping[str, str | None]]) -> pa.Array:
    texts = [values[column.name] for values in partitions]
    return pa.array(texts, pa.utf8()).cast(storage_type(column.type))


def _all_of(programs: Sequence[Program], batch: pa.RecordBatch) -> pa.BooleanArray:
    """Return the rows for which every condition is TRUE; DuckDB's see only rows still wanted."""
    wanted: Any = pa.repeat(pa.scalar(True), batch.num_rows)
    for program in programs:
        if not pc.any(wanted).as_py():
            break
        if program.duckdb:
            rows = batch.select(list(program.columns)).filter(wanted)
            true = as_array(pc.fill_null(program.run(rows), False), rows.num_rows)
            wanted = pc.replace_with_mask(wanted, wanted, true)
        else:
            wanted = pc.and_(wanted, pc.fill_null(program.run(batch), False))
    return wanted
