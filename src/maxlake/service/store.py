"""Tables of sessions, streams, parts and instances; they share the catalog's database and transactions."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, String, Table

from maxlake.lake.database import Instant, metadata

#: ``first_snapshot`` to ``last_snapshot`` are the versions of the table whose files the session pins.
read_session = Table(
    "maxlake_read_session",
    metadata,
    Column("session_id", String, primary_key=True),
    Column("table_id", BigInteger, nullable=False),
    Column("principal", String, nullable=False),
    Column("first_snapshot", BigInteger, nullable=False),
    Column("last_snapshot", BigInteger, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
Index("maxlake_read_session_expiry", read_session.c.expires_at)

#: One row a principal: its read sessions and the bytes of their contents, changed with them.
read_holding = Table(
    "maxlake_read_holding",
    metadata,
    Column("principal", String, primary_key=True),
    Column("sessions", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

#: ``blocks`` has the options of a session that takes blocks (JSON), and is NULL where streams are written.
write_session = Table(
    "maxlake_write_session",
    metadata,
    Column("session_id", String, primary_key=True),
    Column("table_id", BigInteger, nullable=False),
    Column("table_name", String, nullable=False),
    Column("table_path", String, nullable=False),
    Column("principal", String, nullable=False),
    Column("state", String, nullable=False),
    Column("partition", String, nullable=False),
    Column("overwrite", Boolean, nullable=False),
    Column("mode", String, nullable=False, default="Batch"),
    Column("blocks", String),
    Column("schema_evolution", Boolean, nullable=False, default=False),
    Column("expires_at", Instant, nullable=False),
    Column("finished_at", Instant),
)

#: One row a stream id: its newest version. ``position`` is the order of creation within the session,
#: ``schema_version`` the table's when the version was created. A ``token_hash`` makes it exactly-once, and
#: then ``record_count`` is its row offset.
stream = Table(
    "maxlake_stream",
    metadata,
    Column("session_id", String, primary_key=True),
    Column("stream_id", String, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("record_count", BigInteger, nullable=False, default=0),
    Column("declared_count", BigInteger, nullable=False, default=0),
    Column("byte_size", BigInteger, nullable=False, default=0),
    Column("error_code", String, nullable=False, default=""),
    Column("error_message", String, nullable=False, default=""),
    Column("schema_version", BigInteger, nullable=False),
    Column("token_hash", String, nullable=False, default=""),
)

#: One row a file a stream left, in order of arrival; gone once the session is committed or aborted.
part = Table(
    "maxlake_part",
    metadata,
    Column("session_id", String, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("stream_id", String, nullable=False),
    Column("content", LargeBinary, nullable=False),
)

#: One row an acknowledged upload that carried a retry id, with the answer given (wire.md §3.4);
#: a stream's newer version forgets those of the older.
upload = Table(
    "maxlake_upload",
    metadata,
    Column("session_id", String, primary_key=True),
    Column("stream_id", String, primary_key=True),
    Column("retry_id", String, primary_key=True),
    Column("answer", LargeBinary, nullable=False),
)

#: One row an upload with rows that an exactly-once stream took, with the answer given (wire.md §9.3);
#: a stream's newer version forgets those of the older.
batch = Table(
    "maxlake_batch",
    metadata,
    Column("session_id", String, primary_key=True),
    Column("stream_id", String, primary_key=True),
    Column("row_offset", BigInteger, primary_key=True, autoincrement=False),
    Column("answer", LargeBinary, nullable=False),
)

#: One row an upload of a block: which attempt it was, and the message that commits it (wire.md §8.2).
block = Table(
    "maxlake_block",
    metadata,
    Column("session_id", String, primary_key=True),
    Column("block_number", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt_number", BigInteger, primary_key=True, autoincrement=False),
    Column("schema_version", BigInteger, nullable=False),
    Column("record_count", BigInteger, nullable=False),
    Column("commit_message", String, nullable=False),
)

#: One row a streamed upload that carried a retry id, with the answer given (wire.md §8.3). The latest are
#: kept.
flush = Table(
    "maxlake_flush",
    metadata,
    Column("retry_id", String, primary_key=True),
    Column("stream_id", String, primary_key=True),
    Column("table_id", BigInteger, primary_key=True, autoincrement=False),
    Column("committed_at", Instant, nullable=False),
    Column("answer", LargeBinary, nullable=False),
)
Index("maxlake_flush_time", flush.c.committed_at)

#: One row a SQL instance. ``lease_until`` is how long the server that runs it is known to be alive, and
#: ``ended_at`` NULL as long as it has not ended.
instance = Table(
    "maxlake_instance",
    metadata,
    Column("instance_id", String, primary_key=True),
    Column("uuid", String, unique=True),
    Column("principal", String, nullable=False),
    Column("status", String, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("lease_until", Instant),
    Column("ended_at", Instant),
    Column("content", LargeBinary, nullable=False),
)
Index("maxlake_instance_start", instance.c.started_at)
