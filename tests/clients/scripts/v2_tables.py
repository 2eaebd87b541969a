"""Tables through `odps.apis.storage_api_v2`."""

import pyarrow as pa
import v2_client
from behaviours import same
from tables import Session, Table

from odps.apis.storage_api_v2 import (
    ArrowOptions,
    IncrementalReadOptions,
    SessionStatus,
    SplitOptions,
    StorageApiArrowClient,
)


class V2Session(Session):
    def __init__(self, client, response):
        self.client = client
        self.id = response.session_id
        self.splits = response.splits_count
        self.record_count = response.record_count
        self.latest_version = response.latest_version
        self.expires = response.expiration_time
        self.expired = response.session_status is SessionStatus.EXPIRED
        self.stats = (response.session_stats.estimated_size, response.session_stats.estimated_row_count)
        described = response.data_schema
        self.columns = [
            (column.name, column.type) for column in (*described.data_columns, *described.partition_columns)
        ]

    def batches(self, address, **how):
        if isinstance(address, tuple):
            how |= dict(zip(("row_offset", "row_count"), address, strict=True))
        else:
            how["split_index"] = address
        return self.batches_of(**how)

    def batches_of(self, *, skip=0, batch_rows=4096, batch_size=0, columns=(), **address):
        stream = self.client.read_rows_stream(
            self.id,
            skip_row_num=skip,
            max_batch_rows=batch_rows,
            max_batch_raw_size=batch_size,
            data_columns=list(columns),
            **address,
        )
        reader = pa.ipc.open_stream(stream)
        return reader.schema, list(reader)

    def addressed(self, **address):
        """Rows by any of the client's parameters, each of which may be left out."""
        schema, batches = self.batches_of(**address)
        return pa.Table.from_batches(batches, schema)

    def again(self):
        return V2Session(self.client, self.client.get_read_session(self.id))

    def refreshed(self):
        return V2Session(self.client, self.client.get_read_session(self.id, refresh=True))


class V2Table(Table):
    def __init__(self, odps, name, _context):
        super().__init__(odps, name)
        self.client = StorageApiArrowClient(odps, odps.get_table(name))

    def write(self, *batches, partition=None, overwrite=False):
        v2_client.write(self.client, *batches, partition=partition, overwrite=overwrite)

    def opened(self, wanted):
        response = self.client.create_read_session(
            required_data_columns=list(wanted.columns),
            required_partition_columns=list(wanted.keys),
            required_partitions=list(wanted.partitions),
            required_bucket_ids=[str(bucket) for bucket in wanted.buckets],
            split_options=SplitOptions(
                split_mode=SplitOptions.SplitMode(wanted.split.mode),
                split_number=wanted.split.number,
                cross_partition=wanted.split.crossing,
            ),
            arrow_options=_arrow_options(wanted),
            filter_predicate=wanted.where,
            filter_predicate_fallback=wanted.fallback,
            split_max_file_num=wanted.files,
            incremental_read=wanted.changes is not None,
            incremental_read_options=wanted.changes and _incremental(wanted.changes),
        )
        same((response.session_status, response.split_mode), (SessionStatus.NORMAL, wanted.split.mode))
        return V2Session(self.client, response)

    def preview(self, limit=None, partition=None, columns=None):
        stream = self.client.preview_table(limit=limit, partition=partition, columns=columns)
        return pa.ipc.open_stream(stream).read_all()


def _arrow_options(wanted):
    unit = ArrowOptions.TimestampUnit
    return ArrowOptions(
        timestamp_unit=wanted.timestamp_unit and unit(wanted.timestamp_unit),
        date_time_unit=wanted.datetime_unit and unit(wanted.datetime_unit),
    )


def _incremental(changes):
    options = IncrementalReadOptions()
    if changes.mode:
        options.mode = changes.mode
    for bound, name in ((changes.after, "start"), (changes.upto, "end")):
        if bound is not None:
            setattr(options, f"{name}_version" if isinstance(bound, int) else f"{name}_time_stamp", bound)
    return options
