"""Every type through the tunnel, both ways: what is read is written again, and must be what it was."""

from contextlib import contextmanager
from dataclasses import replace

import every_type
import pyarrow as pa
from behaviours import behaviour
from every_type import NS, check_equal

from odps import options

#: PyODPS cannot make records of the first and last second that nanoseconds reach, and reads no fraction
#: before 1970 as it writes it.
MOMENTS = (-9_000_000_000 * NS, 1_700_000_000 * NS + 1, 9_000_000_000 * NS + NS - 1)
#: Nor vectors of infinite numbers.
VECTORS = ([0.5] * 32, [-0.0, *[1e-45] * 31], [float(number) for number in range(32)])
#: JSON it parses, and writes anew.
JSON = ('{"a": [1, null, "\\u00e9"]}', "[]", "7")
IN_RECORDS = {"timestamp": MOMENTS, "timestamp_ntz": MOMENTS, "vector(float,32)": VECTORS, "json": JSON}
#: PyODPS builds no Arrow schema of tables with these.
NO_ARROW = ("c_json", "c_months")


def columns_of(context):
    """Every type; MaxStorage, which reads the copy, takes an interval for a timestamp."""
    intervals = () if context.client == "ms" else every_type.INTERVALS
    return (*every_type.SCALARS, *intervals, *every_type.LISTS, *every_type.STRUCTS)


@contextmanager
def instants_as_they_are():
    """No local time, and none refused as too old to be converted rightly."""
    options.local_timezone, options.allow_antique_date = False, True
    try:
        yield
    finally:
        options.local_timezone, options.allow_antique_date = None, False


def copied(context, columns, copy):
    """Write rows through the Storage API, and have them copied to a table of the same columns."""
    declared = every_type.declaration(columns)
    odps = context.server.odps()
    first = context.made(declared, None)
    odps.create_table(f"{context.table}_copy", declared)
    rows = every_type.rows(columns)
    first.write(rows)
    copy(odps.get_table(context.table), odps.get_table(f"{context.table}_copy"))
    copied = type(first)(odps, f"{context.table}_copy", context)
    check_equal(copied.read(), pa.Table.from_batches([rows]))


@behaviour()
def every_type_in_records(context):
    def copy(source, target):
        with source.open_reader() as reader, target.open_writer() as writer:
            writer.write(list(reader))

    columns = [
        replace(column, values=IN_RECORDS.get(column.odps, column.values)) for column in columns_of(context)
    ]
    with instants_as_they_are():
        copied(context, columns, copy)


@behaviour()
def every_type_in_arrow(context):
    def copy(source, target):
        with source.open_reader(arrow=True) as reader, target.open_writer(arrow=True) as writer:
            for batch in reader:
                writer.write(batch)

    with instants_as_they_are():
        copied(context, [column for column in columns_of(context) if column.name not in NO_ARROW], copy)
