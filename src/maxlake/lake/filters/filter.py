"""``Filter``: a predicate ready to judge partitions, files, row groups and rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from maxlake.lake.filters.bounds import Bounds
from maxlake.lake.filters.evaluation import Program, compile_expression
from maxlake.lake.filters.growth import TooMuchTextError
from maxlake.lake.filters.judgement import Judge, judge
from maxlake.lake.filters.kernels import as_array
from maxlake.protocol.predicates.tree import ColumnValue, Expression, Literal, columns, conjuncts, walk
from maxlake.protocol.types.storage import storage_type

#: How many nodes of conditions are judged by bounds to prune one session: each takes about a microsecond, and
#: a filter of thousands over thousands of files would take minutes. Reading skips row groups all the same.
MAX_JUDGEMENTS = 2_000_000


class Filter:
    """A compiled predicate. Built once, then safe to use from any number of threads.

    Raises BadRequestError InvalidArgument for a predicate that is well typed but cannot be evaluated: a
    regular expression that is none.
    """

    def __init__(self, expression: Expression) -> None:
        conditions = conjuncts(expression)
        programs = [compile_expression(condition) for condition in conditions]
        #: Arrow's first: DuckDB is given only the rows still wanted.
        self._programs = sorted(programs, key=lambda program: program.duckdb)
        read = columns(expression)
        self.columns: tuple[str, ...] = tuple(dict.fromkeys(column.name for column in read))
        self._keys = [column for column in read if column.partition]
        self._judges = [judge(condition) for condition in conditions]
        self._cost = sum(map(_cost, conditions))
        self._of_partition: list[Program] = []
        self._mixed: list[Judge] = []
        self._mixed_cost = 0
        for condition, program, judged in zip(conditions, programs, self._judges, strict=True):
            keys = [column.partition for column in columns(condition)]
            if all(keys):
                self._of_partition.append(program)
            elif any(keys):
                self._mixed.append(judged)
                self._mixed_cost += _cost(condition)

    def matching_partitions(self, partitions: Sequence[Mapping[str, str | None]]) -> list[bool]:
        """Tell of each partition, by the values of its columns, whether any row of it can be wanted.

        Conditions on partition columns alone are evaluated, those on others, too, judged from what is known
        of a row, unless there are too many (``MAX_JUDGEMENTS``).
        """
        if not partitions:
            return []
        keys = {column.name: _key_values(column, partitions) for column in self._keys}
        counted = pa.nulls(len(partitions))  # rows are counted even where no key is read
        rows = pa.RecordBatch.from_arrays([*keys.values(), counted], names=[*keys, ""])
        points = {name: _points(values) for name, values in keys.items()}
        wanted: list[bool] = _all_of(self._of_partition, rows).to_pylist()
        if self._mixed_cost * len(partitions) > MAX_JUDGEMENTS:
            return wanted
        for place, so_far in enumerate(wanted):
            if so_far and self._mixed:
                known = {name: values[place] for name, values in points.items()}
                wanted[place] = all(judged(known).true for judged in self._mixed)
        return wanted

    def affords(self, files: int) -> bool:
        """Tell whether so many files can be judged by their bounds in reasonable time."""
        return self._cost * files <= MAX_JUDGEMENTS

    def may_match(self, bounds: Mapping[str, Bounds]) -> bool:
        """Tell whether any row within these bounds (by column; what is missing is unknown) can be wanted."""
        return all(judged(bounds).true for judged in self._judges)

    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Return which rows are wanted, never NULL.

        ``batch`` has at least :attr:`columns`, in their storage types (dictionaries of them will do).
        """
        return _all_of(self._programs, batch)


def _cost(condition: Expression) -> int:
    return sum(1 for node in walk(condition) if not isinstance(node, Literal))


def _key_values(column: ColumnValue, partitions: Sequence[Mapping[str, str | None]]) -> pa.Array:
    texts = [values[column.name] for values in partitions]
    return pa.array(texts, pa.utf8()).cast(storage_type(column.type))


def _points(values: pa.Array) -> list[Bounds]:
    """Return what is known of a row by one key's value, for each of its values."""
    if pat.is_timestamp(values.type):
        values = values.cast(pa.int64())
    unbounded = pat.is_floating(values.type)
    return [
        Bounds(null_count=1, value_count=0)
        if value is None
        else Bounds(null_count=0)
        if unbounded
        else Bounds(value, value, null_count=0)
        for value in values.to_pylist()
    ]


def _all_of(programs: Sequence[Program], batch: pa.RecordBatch) -> pa.BooleanArray:
    """Return the rows for which every condition is TRUE; DuckDB's see only rows still wanted."""
    wanted: Any = pa.repeat(pa.scalar(True), batch.num_rows)
    for program in programs:
        if not pc.any(wanted).as_py():
            break
        if program.duckdb:
            rows = batch.select(list(program.columns)).filter(wanted)
            wanted = pc.replace_with_mask(wanted, wanted, _true_rows(program, rows))
        else:
            wanted = pc.and_(wanted, pc.fill_null(program.run(batch), False))
    return wanted


def _true_rows(program: Program, rows: pa.RecordBatch) -> pa.BooleanArray:
    """Run a condition over all rows at once, or half by half if that is too much."""
    try:
        return as_array(pc.fill_null(program.run(rows), False), rows.num_rows)
    except TooMuchTextError:
        half = rows.num_rows // 2
        return pa.concat_arrays(
            [_true_rows(program, rows.slice(0, half)), _true_rows(program, rows.slice(half))]
        )
