"""Filters: which partitions, files, row groups and rows a predicate wants (wire.md §4.4, drift.md B.6)."""

from maxlake.lake.filters.bounds import Bounds as Bounds
from maxlake.lake.filters.bounds import row_group_bounds as row_group_bounds
from maxlake.lake.filters.bounds import text_bounds as text_bounds
from maxlake.lake.filters.filter import Filter as Filter
