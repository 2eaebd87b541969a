"""PyODPS 0.13.0 reads the thousand rows of the byte server, and writes them back."""

import sys

import pyarrow as pa

from odps import ODPS
from odps.apis.storage_api_v2 import SplitOptions, StorageApiArrowClient

odps = ODPS("any", "key", "demo", endpoint=sys.argv[1])
table = odps.get_table("rows")
assert [column.name for column in table.table_schema.columns] == ["id", "name"]
client = StorageApiArrowClient(odps, table)

parallel = SplitOptions(split_mode=SplitOptions.SplitMode.PARALLELISM, split_number=2)
session = client.create_read_session(split_options=parallel)
batches = []
for split in range(session.splits_count):
    reader = client.read_rows_arrow(session.session_id, split_index=split)
    while (batch := reader.read()) is not None:
        batches.append(batch)
rows = pa.Table.from_batches(batches)
assert rows["id"].to_pylist() == list(range(1000))

session_id = client.create_write_session().session_id
client.create_write_stream(session_id, stream_id=0)
writer = client.write_rows_arrow(session_id, stream_id=0)
for batch in batches:
    assert writer.write(batch)
assert writer.finish()[1]
client.close_write_stream(session_id, stream_id=0)
client.commit_write_session(session_id)
