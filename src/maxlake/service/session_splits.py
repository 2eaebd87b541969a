"""How a read session is cut (wire.md §4.1, drift.md A.23, B.5, B.23)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from maxlake.lake import splits
from maxlake.lake.plans import Plan
from maxlake.lake.tables import Table
from maxlake.protocol import limits
from maxlake.protocol.enums import SplitMode
from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.messages.read import CreateReadSessionRequest

_NUMBER = re.compile("[0-9]{1,9}")


def required_buckets(table: Table, request: CreateReadSessionRequest) -> tuple[int, ...] | None:
    """Return the buckets a session takes, in order; None for a session that does not ask for buckets.

    Raises ``InvalidArgument`` for tables that are not clustered, and for numbers that are no bucket.
    """
    if not request.required_bucket_ids and request.split_options.split_mode is not SplitMode.BUCKET:
        return None
    buckets = table.options.buckets
    if not buckets:
        raise invalid_argument(
            "only tables CLUSTERED BY (…) INTO n BUCKETS have buckets; use mode Size or Parallelism, without "
            "bucket ids",
            where=table.full_name,
        )
    numbers = {_bucket(value, buckets) for value in request.required_bucket_ids}
    return tuple(sorted(numbers)) if numbers else tuple(range(buckets))


def _bucket(value: int | str, buckets: int) -> int:
    text = str(value).strip()
    if not _NUMBER.fullmatch(text) or int(text) >= buckets:
        raise invalid_argument(f"{text[:20]!r} is no bucket: the table has buckets 0 to {buckets - 1}")
    return int(text)


def cut(plan: Plan, request: CreateReadSessionRequest, buckets: Sequence[int]) -> list[int]:
    """Return the row at which each split ends; RowOffset has no splits (drift.md B.5, B.23)."""
    options = request.split_options
    match options.split_mode:
        case SplitMode.SIZE:
            target = max(
                options.split_number or limits.DEFAULT_SPLIT_SIZE,
                limits.MIN_SPLIT_SIZE,
                plan.raw_size // limits.MAX_SPLITS,
            )
            return splits.split_by_size(
                plan,
                target,
                cross_partition=options.cross_partition,
                max_files=request.split_max_file_num,
            )
        case SplitMode.PARALLELISM:
            if not 1 <= options.split_number <= limits.MAX_SPLITS:
                raise invalid_argument(
                    f"SplitNumber is the number of splits in mode Parallelism, 1 to {limits.MAX_SPLITS}, "
                    f"not {options.split_number}"
                )
            return splits.split_by_count(plan, options.split_number)
        case SplitMode.BUCKET:
            return splits.split_by_bucket(plan, buckets)
        case SplitMode.ROW_OFFSET:
            return []
