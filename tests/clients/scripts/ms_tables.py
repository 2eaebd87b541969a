"""Tables through `odps.maxstorage`."""

import ms_client
from behaviours import same
from odps.maxstorage import (
    IncrementalReadOptions,
    IndexedInputSplit,
    RowRangeInputSplit,
    SplitMode,
    SplitOptions,
)
from tables import Session, Table


class MsSession(Session):
    def __init__(self, client, table, session):
        self.client = client
        self.table = table
        self.session = session
        self.id = session.id
        self.splits = len(session.splits) if session.split_mode is SplitMode.SIZE else 0
        self.record_count = session.record_count
        self.latest_version = session.latest_version
        self.expires = session.expiration_time
        self.expired = session._response.session_status == "EXPIRED"
        self.stats = (session.session_stats.estimated_size, session.session_stats.estimated_row_count)
        self.columns = [(column.name, column.type.name) for column in session.table_schema.columns]

    def batches(
        self, address, *, skip=0, batch_rows=4096, batch_size=0, columns=(), unordered=False, codec=None
    ):
        split = (
            RowRangeInputSplit(self.id, *address)
            if isinstance(address, tuple)
            else IndexedInputSplit(self.id, address)
        )
        reader = self.session.open_arrow_reader(
            split,
            skip_row_num=skip,
            max_batch_rows=batch_rows,
            max_batch_raw_size=batch_size,
            data_columns=list(columns),
            data_columns_unordered=unordered,
            compress_algo=codec,
        )
        with reader:
            return reader.arrow_schema, list(reader)

    def again(self):
        session = self.client.create_table_read_session(self.table, session_id=self.id)
        return MsSession(self.client, self.table, session)

    def refreshed(self):
        """Through the stub: the client itself never asks for it."""
        self.session._stub.get_table_read_session(self.session._table_id, self.id, refresh=True)
        return self.again()


class MsTable(Table):
    def __init__(self, odps, name, context):
        super().__init__(odps, name)
        self.table = odps.get_table(name)
        self.client = ms_client.client_of(context, odps=odps)

    def write(self, *batches, partition=None, overwrite=False):
        ms_client.write(self.client, self.table, *batches, partition_spec=partition, overwrite=overwrite)

    def opened(self, wanted):
        units = {"TimestampUnit": wanted.timestamp_unit, "DatetimeUnit": wanted.datetime_unit}
        changes = wanted.changes
        session = self.client.create_table_read_session(
            self.table,
            columns=list(wanted.columns),
            partition_columns=list(wanted.keys),
            partitions=list(wanted.partitions),
            bucket_ids=list(wanted.buckets),
            split_options=SplitOptions(
                split_mode=SplitMode(wanted.split.mode),
                split_number=wanted.split.number,
                cross_partition=wanted.split.crossing,
            ),
            arrow_options={name: unit for name, unit in units.items() if unit},
            filter_predicate=wanted.where,
            filter_predicate_fallback=wanted.fallback,
            split_max_file_num=wanted.files,
            incremental_read_enabled=changes is not None,
            incremental_read_options=changes
            and IncrementalReadOptions(version=changes.mode, from_=changes.after, to=changes.upto),
        )
        same(session.split_mode, SplitMode(wanted.split.mode))
        return MsSession(self.client, self.table, session)

    def preview(self, limit=None, partition=None, columns=None):
        reader = self.client.preview_table(self.table, partition, columns, limit)
        return ms_client.drained(reader)
