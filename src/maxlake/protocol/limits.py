"""Every limit on what comes from outside, with its reason. Sizes in bytes, times in seconds."""

from __future__ import annotations

# -- requests ---------------------------------------------------------------------------------------

#: JSON bodies are read whole; the largest legitimate one names some 10,000 partitions.
MAX_JSON_BODY = 4 * 1024 * 1024
#: SQL texts and their XML envelope are read whole.
MAX_XML_BODY = 1024 * 1024
#: Characters of a project, schema, table or column name (the vendor's limit).
MAX_NAME_LENGTH = 128
#: Bytes of a name: with a dash and an id of 19 digits it must still be a file name.
MAX_NAME_BYTES = 235
#: Characters of one partition spec: six keys and values at their longest, quotes and blanks.
MAX_PARTITION_SPEC = 4096
#: Bytes of one partition value in UTF-8 (the vendor's limit).
MAX_PARTITION_VALUE = 255
#: Bytes of ``key=value`` as a directory name: what common file systems take.
MAX_PARTITION_PATH_SEGMENT = 255
#: Parameters of one request's query; the longest documented action has ten.
MAX_QUERY_PARAMETERS = 100
#: Request line and headers, and what a chunked body adds to its data. The largest legitimate heads
#: carry an STS token of a few KiB.
MAX_REQUEST_HEAD = 64 * 1024
#: Entries of one page of a list (what the official service says in MaxItems).
MAX_LISTED = 1000
#: Elements inside one another in an XML body; a SQL job has six.
MAX_XML_DEPTH = 32
#: Time for a JSON or XML body to arrive whole.
SMALL_BODY_TIME = 60
#: How much of an upload nobody wants is read, and for how long, so that its sender sees the answer.
MAX_DRAIN = 256 * 1024 * 1024
DRAIN_TIME = 30
#: Threads for short calls and for producing rows: more would only contend for the cores.
CALL_THREADS = 16
#: Row streams served at once: each holds up to three pieces of ROW_PIECE in memory.
MAX_CONCURRENT_READS = 256
#: Uploads served at once: each holds a thread, and keeps it while its writer serves other streams in turn.
MAX_CONCURRENT_UPLOADS = 256
#: Calls that may take minutes (counts of selected rows), at once: each keeps a core busy.
MAX_LONG_CALLS = 2
#: How long a request waits for one of these places before it is told to come back (drift.md A.17).
PLACE_WAIT = 60
#: How long a thread waits to write to a project's catalog: longer than one commit of many files.
WRITE_TURN_WAIT = 60
#: Time for the head of a request to arrive: it fits into a few packets.
REQUEST_HEAD_TIME = 30
#: Connections open at once, and how many per file the process may open: the lake needs files too.
MAX_CONNECTIONS = 4096
CONNECTIONS_PER_FILE = 0.5
#: How long an idle connection is kept: client pools reuse them between batches.
KEEP_ALIVE = 75
#: How long requests may still run when the server is told to stop, and how long those are waited for then
#: that cannot be broken off. With closing, below 10 s.
SHUTDOWN_DRAIN = 7
SHUTDOWN_LAST_WAIT = 2

# -- uploads ----------------------------------------------------------------------------------------

#: One TableWrite body. A stream takes as many of them as it likes.
MAX_UPLOAD_BODY = 64 * 1024 * 1024 * 1024
#: One Arrow message, after decompression: it must fit in memory, several times over.
MAX_ARROW_MESSAGE = 512 * 1024 * 1024
#: Metadata of one Arrow message (schemas of thousands of columns stay below).
MAX_ARROW_METADATA = 16 * 1024 * 1024
#: Values (rows, items) of one Arrow message that need not be backed by a byte each: nulls and booleans
#: are next to nothing on the wire, but cost some bytes each once taken in.
MAX_UNBACKED_VALUES = 16 * 1024 * 1024
#: Levels of nesting of an uploaded column (recursion in every Arrow implementation).
MAX_NESTING = 32
#: Columns of a table (the vendor's limit).
MAX_COLUMNS = 1200
#: Partition columns of a table (the vendor's limit).
MAX_PARTITION_COLUMNS = 6
#: Buckets of a clustered table (the vendor's limit).
MAX_BUCKETS = 4096
#: Partitions one TableWrite body may touch: each costs an open file and a row-group buffer.
MAX_PARTITIONS_PER_WRITE = 2000
#: Files one TableWrite body may become, one a partition and bucket: any one partition of any table.
MAX_FILES_PER_WRITE = MAX_BUCKETS
#: Bytes all uploads of a server process hold together: ten with full row-group buffers, and half of a small
#: machine. The least that leaves every upload a useful share.
UPLOAD_MEMORY = 1024 * 1024 * 1024
MIN_UPLOAD_MEMORY = 64 * 1024 * 1024
#: How long an upload waits for memory: less than the two minutes after which PyODPS gives up sending.
UPLOAD_MEMORY_WAIT = 100
#: How long one message may be received while others wait for its memory: less than they wait.
UPLOAD_MEMORY_HOLD = 60
#: Bytes of one upload received ahead of the thread that stores them.
UPLOAD_QUEUE = 8 * 1024 * 1024
#: How long the thread that stores an upload waits for bytes before it looks whether others need its memory.
UPLOAD_PAUSE = 1
#: How long an upload may send nothing: V2 writers keep one open while the user computes the next rows.
UPLOAD_STALL = 15 * 60
#: Bytes of one string or binary value, as told to clients in MaxFieldSize.
MAX_FIELD_SIZE = 8 * 1024 * 1024

#: Blocks of one tunnel upload (the vendor's limit).
MAX_TUNNEL_BLOCKS = 20_000
#: Bytes of one record of the tunnel: it is held whole until its end has come.
MAX_RECORD_BYTES = 128 * 1024 * 1024
#: Values of records that are Python objects at a time, of some 100 bytes each, texts aside.
MAX_RECORD_BATCH_VALUES = 64 * 1024
#: Bytes of an upload decoded at a time.
DECODED_PIECE = 128 * 1024

# -- blobs ------------------------------------------------------------------------------------------

#: Bytes of one blob (the vendor's limit).
MAX_BLOB = 5 * 1024 * 1024 * 1024
#: Blobs of one batch: the references that answer it stay below what a client reads whole.
MAX_BLOBS_PER_BATCH = 10_000
#: Bytes of a frame's header on upload, which may carry the key of a row, and of its footer.
MAX_FRAME_HEADER = 1024 * 1024
MAX_FRAME_FOOTER = 64 * 1024
#: Characters of a mime type, and bytes of a file name: with both, the header of a downloaded frame stays
#: below 1024 bytes, from which on V2 takes it for data (wire.md §11.5).
MAX_MIME_TYPE = 127
MAX_BLOB_NAME = 255
#: Characters of a reference: both of these, and the names of its project, session and stream.
MAX_BLOB_REFERENCE = 2048
#: Blobs from this size on are a file each; smaller ones share packs, which end at the other.
MAX_PACKED_BLOB = 1024 * 1024
PACK_BYTES = 64 * 1024 * 1024
#: Packs kept open for the next blobs of their streams, and for how long: far less than BLOB_GRACE.
MAX_IDLE_PACKS = 64
PACK_IDLE_TIME = 60 * 60
#: Bytes of a blob read, checked and written at a time.
BLOB_PIECE = 1024 * 1024

# -- types ------------------------------------------------------------------------------------------

#: Digits of a decimal type: Arrow's decimal256 ends there. Storing stops at 38 (DuckDB's widest).
MAX_DECIMAL_PRECISION = 76
MAX_STORED_PRECISION = 38
#: Characters of char(n) and varchar(n) (the vendor's limits).
MAX_CHAR_LENGTH = 255
MAX_VARCHAR_LENGTH = 65_535
#: Elements of a vector: above this the value would pass MAX_FIELD_SIZE on the way to a client.
MAX_VECTOR_LENGTH = 65_536
#: Types inside one column's type, itself included: each is a row of the catalog.
MAX_TYPE_NODES = 4096

# -- sessions ---------------------------------------------------------------------------------------

#: Streams of one write session: each is a row the commit reads.
MAX_STREAMS = 10_000
#: Blocks of one write session: the messages that commit them, of some 130 bytes each, fit into a JSON body.
MAX_BLOCKS = 10_000
#: Attempts at all blocks of a session together: each is a row, and a file or more until the commit.
MAX_BLOCK_ATTEMPTS = 4 * MAX_BLOCKS
#: Streamed uploads one transaction makes visible: they wait for one another, and a commit stays short.
MAX_GROUP_COMMIT = 64
#: Characters of an id a client makes up to recognise its own repetitions (retry ids, uuids of statements).
MAX_REQUEST_TOKEN = 128
#: Numbers that databases keep.
MAX_INT64 = 2**63 - 1

# -- reads ------------------------------------------------------------------------------------------

#: Rows of one Arrow batch (the C++ client's own bound, drift.md B.20).
MAX_BATCH_ROWS = 20_000
DEFAULT_BATCH_ROWS = 4096
#: Bytes gathered before they are handed to the socket; one piece is produced ahead.
ROW_PIECE = 1024 * 1024
#: How long a reader may take nothing: training loops pause between batches.
READ_STALL = 60 * 60
#: Raw bytes of one batch of a tunnel download, of which records make several copies.
TUNNEL_BATCH_BYTES = 1024 * 1024
#: Rows of a preview: default and cap (drift.md B.15).
DEFAULT_PREVIEW_ROWS = 1000
MAX_PREVIEW_ROWS = 10_000
#: Bytes of a preview, and of one batch of it: values go up to MAX_FIELD_SIZE, and a preview is a sample.
MAX_PREVIEW_BYTES = 64 * 1024 * 1024
PREVIEW_BATCH_BYTES = 4 * 1024 * 1024
#: Raw bytes a Size split holds by default, and at least (drift.md B.23).
DEFAULT_SPLIT_SIZE = 256 * 1024 * 1024
MIN_SPLIT_SIZE = 1024 * 1024
#: Bytes DuckDB may use for all filters together: a few batches of the widest rows.
FILTER_MEMORY = 1024 * 1024 * 1024
#: Bytes DuckDB may use for all upserts together, before it keeps what it has on disk: some ten million keys.
UPSERT_MEMORY = 512 * 1024 * 1024
#: How often an upsert is computed again because others changed the same partitions: each time some of them
#: got ahead, so many in a row only where they come faster than it can be computed.
MAX_UPSERT_ATTEMPTS = 20
#: How long an upsert waits for those of the same table before it: large ones take minutes.
UPSERT_TURN_WAIT = 600
#: Bytes of text a function of a filter makes at a time, of one row or many; values are stored up to 8 MiB.
MAX_FILTER_TEXT = 64 * 1024 * 1024
#: Entries of RequiredPartitions: lists of some 10,000 are legitimate, and each costs some 30 microseconds.
MAX_REQUIRED_PARTITIONS = 20_000
#: Read sessions one principal may have stored, until their grace is over: those of a poll every second for
#: two days; and the bytes of their plans, which lie in the catalog (100 a file).
MAX_READ_SESSIONS = 200_000
MAX_READ_SESSION_BYTES = 16 * 1024 * 1024 * 1024
#: Splits of one session: each is an entry of its plan.
MAX_SPLITS = 100_000

#: Characters of a filter predicate, and its words, values and signs: IN over some ten thousand long keys.
#: Each of them costs some 50 microseconds and a KiB while it is checked.
MAX_PREDICATE_LENGTH = 512 * 1024
MAX_PREDICATE_TOKENS = 60_000
#: Operators, calls, parentheses and CASEs inside one another in a predicate: parsing and evaluation recurse.
MAX_PREDICATE_NESTING = 50
#: Values of one IN of a predicate, and all conditions of one AND or OR.
MAX_PREDICATE_OPTIONS = 20_000
#: Characters of a regular expression or LIKE pattern: compiled, each can cost a KiB.
MAX_PATTERN_LENGTH = 4096
#: Characters lpad and rpad may fill up to: they make text out of nothing.
MAX_PADDED_LENGTH = 65_535

# -- SQL --------------------------------------------------------------------------------------------

#: Words and signs of a statement: INSERT ... VALUES of some ten thousand values is legitimate, and each costs
#: some 50 microseconds. How deep they nest: DuckDB's own bound is 1000, sqlglot recurses.
MAX_SQL_TOKENS = 100_000
MAX_SQL_NESTING = 200
#: Statements that read or write rows, at once: each is a process that may take QUERY_MEMORY bytes.
MAX_QUERIES = 2
QUERY_MEMORY = 2 * 1024 * 1024 * 1024
#: Statements that wait for one of these places.
MAX_WAITING_QUERIES = 200
#: How long one may run.
QUERY_TIME = 60 * 60
#: Bytes a statement may put on the disk while it sorts and joins.
QUERY_SPILL = 32 * 1024 * 1024 * 1024
#: How long an instance counts as running without a sign of its server.
INSTANCE_LEASE = 30
#: Raw bytes of the rows of a query: whoever wants more of them keeps them in a table.
MAX_RESULT_BYTES = 16 * 1024 * 1024 * 1024
#: How long the rows of a query can be read after it has ended.
RESULT_LIFETIME = 24 * 60 * 60
#: Rows, and bytes, of a result that is answered as text (rest.md §8.3).
MAX_TEXT_ROWS = 10_000
MAX_TEXT_BYTES = 64 * 1024 * 1024

# -- time -------------------------------------------------------------------------------------------

#: How far a request's Date may be from the server's clock (auth.md §5).
MAX_CLOCK_SKEW = 15 * 60
#: Life of read and write sessions (drift.md B.7).
SESSION_LIFETIME = 24 * 60 * 60
#: How long an expired read session can still be refreshed (drift.md B.7).
REFRESH_GRACE = 24 * 60 * 60
#: How long a streamed upload is remembered, so that it is answered when repeated, and how many of a project
#: at most: at 300 a second those of eleven minutes; clients give up repeating after two (wire.md §3.4).
FLUSH_MEMORY = 24 * 60 * 60
MAX_REMEMBERED_FLUSHES = 200_000
#: How long finished write sessions are remembered, so that a repeated commit is answered.
FINISHED_SESSION_MEMORY = 30 * 24 * 60 * 60

# -- maintenance ------------------------------------------------------------------------------------

#: How long a version can still be read after another has replaced it: incremental readers come weekly.
SNAPSHOT_RETENTION = 7 * 24 * 60 * 60
#: Age of a file that nobody names before it counts as left behind: no upload or merge takes that long to
#: name what it has written last.
ORPHAN_AGE = 24 * 60 * 60
#: Age of a blob that no row refers to before it is removed (drift.md B.17): by default, and at least, because
#: others may still add to its pack. And time between two searches of a server for such blobs: each looks at
#: the file of every blob.
BLOB_GRACE = 7 * 24 * 60 * 60
MIN_BLOB_GRACE = 2 * PACK_IDLE_TIME
BLOB_COLLECTION_INTERVAL = 24 * 60 * 60
#: Time between two runs of maintenance, and how long one may go on beginning merges: the rest of the time
#: a core is free for requests.
MAINTENANCE_INTERVAL = 10 * 60
MAINTENANCE_BUDGET = 5 * 60
#: Longest of these times an operator may set: clocks and timers take a hundred years.
MAX_MAINTENANCE_TIME = 100 * 365 * 24 * 60 * 60

# -- client -----------------------------------------------------------------------------------------

#: Connections a client keeps open for reuse: the streams one process sensibly runs at once.
CLIENT_IDLE_CONNECTIONS = 32
#: How long an idle connection is reused: less than the 5 s after which common servers close it.
CLIENT_IDLE_SECONDS = 4.0
#: Attempts to connect at once (nothing was sent yet); of what goes wrong in the service, in all.
CLIENT_CONNECT_ATTEMPTS = 3
CLIENT_ATTEMPTS = 4
#: Attempts of a call that comes further each time: a service that repeats itself must not keep it for ever.
CLIENT_MOST_ATTEMPTS = 1000
#: First pause between attempts, doubled each time, and the longest.
CLIENT_RETRY_PAUSE = 0.1
CLIENT_RETRY_MOST_PAUSE = 8.0
#: How long one call goes on trying while the service cannot be reached or is busy, without coming further:
#: it is restarted in seconds, and moved to another machine in a minute.
CLIENT_RETRY_SECONDS = 60.0
CLIENT_FIRST_CALL_SECONDS = 2.0
#: Bytes that a client holds for everything in flight, unless told otherwise: dozens of reads and uploads run
#: at full speed with that.
CLIENT_MAX_MEMORY = 256 * 1024 * 1024
#: Bytes of one batch received, compressed or not: batches of the service are of some MB.
CLIENT_MAX_MESSAGE = 1024 * 1024 * 1024
#: JSON and error answers are read whole; write schemas of MAX_COLUMNS columns stay below.
CLIENT_MAX_ANSWER = 16 * 1024 * 1024
#: Small pieces of an upload are gathered to this size; pieces of CLIENT_DIRECT_SEND go out uncopied.
CLIENT_UPLOAD_CHUNK = 1024 * 1024
CLIENT_DIRECT_SEND = 64 * 1024
#: Bytes of an upload that wait for a slow service while the caller makes more. The memory of a writer
#: is this, a chunk being gathered and a batch being serialised.
CLIENT_UPLOAD_AHEAD = 8 * 1024 * 1024
#: Of an upload that can be sent again, what is kept in memory, and at most, in a temporary file: the largest
#: upload that one request should be.
CLIENT_SPOOL_MEMORY = 16 * 1024 * 1024
CLIENT_SPOOL_BYTES = 1024 * 1024 * 1024
#: Bytes after which the upload of one stream should end, and another stream begin: what a broken connection
#: costs, and far from what cannot be sent again.
CLIENT_STREAM_BYTES = 256 * 1024 * 1024
#: Bytes of rows a resumable upload sends by one request, unless told otherwise: what its death costs.
CLIENT_REQUEST_BYTES = 32 * 1024 * 1024
#: Bytes of the file in which an upload is noted: ids and a name.
CLIENT_MAX_JOURNAL = 64 * 1024
#: Blobs that a parallel reader asks for in one request.
CLIENT_BLOBS_PER_REQUEST = 64
#: Read buffers a reader recycles: a few batches are alive at a time when batches are used one by one.
CLIENT_READ_BUFFERS = 8
#: Connections of one read or write: the vendor gives each about 10 MB/s, two cores are busy with four.
CLIENT_THREADS = 8
#: Calls of one async client at once, each a thread that mostly waits: more wait for their turn.
CLIENT_AIO_THREADS = 64
#: Bytes of a batch asked for: large enough to be worth a message, small beside CLIENT_MAX_MEMORY.
CLIENT_READ_BATCH = 4 * 1024 * 1024
#: Bytes of the batches that a source is cut into.
CLIENT_WRITE_BATCH = 4 * 1024 * 1024
#: Seconds that a broken-off read or write waits for its threads, and for the service to hear of it.
CLIENT_STOP_SECONDS = 5.0
#: Bytes that wait for the streams of a write before it opens another: its files should not be small.
CLIENT_WAITING_BYTES = 16 * 1024 * 1024
