"""Bad uploads to a real server: each is refused with its code, stores nothing and kills nobody."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from maxlake.client import StorageApiArrowClient
from maxlake.client.errors import ClientError
from maxlake.protocol import limits
from maxlake.protocol.errors import ErrorCode
from maxlake.testing import LocalServer, local_server
from tests.budget import Budget
from tests.hostile_arrow import (
    BODY_LENGTH,
    END,
    HEADER,
    ROWS,
    Message,
    column,
    damaged,
    encode,
    join,
    patch,
    put_numbers,
    take_apart,
)

REFUSALS = {ErrorCode.DATA_ERROR, ErrorCode.SCHEMA_MISMATCH, ErrorCode.INVALID_ARGUMENT}
COLUMNS = (
    "tiny tinyint, number bigint, ratio double, truth boolean, words string, bytes binary, short varchar(5), "
    "price decimal(10,2), day date, moment datetime, instant timestamp, local timestamp_ntz, "
    "list array<bigint>, lookup map<string,int>, pair struct<a:int,b:string>, "
    "deep array<struct<m:map<int,string>>>"
)
ROWS_OF_EVERY_TYPE = pa.record_batch(
    {
        "tiny": pa.array([1, None, -1], pa.int8()),
        "number": pa.array([1, None, 3]),
        "ratio": pa.array([0.5, None, float("nan")]),
        "truth": pa.array([True, None, False]),
        "words": pa.array(["one", None, "three"]),
        "bytes": pa.array([b"one", None, b"three"]),
        "short": pa.array(["one", None, "three"]),
        "price": pa.array([Decimal("1.23"), None, Decimal("-4.56")], pa.decimal128(10, 2)),
        "day": pa.array([0, None, 20_000], pa.date32()),
        "moment": pa.array([0, None, 1_700_000_000_000], pa.timestamp("ms")),
        "instant": pa.array([0, None, 1_700_000_000_000_000_000], pa.timestamp("ns", "UTC")),
        "local": pa.array([0, None, 1_700_000_000_000_000_000], pa.timestamp("ns")),
        "list": pa.array([[1, 2], None, [None]]),
        "lookup": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int32())),
        "pair": pa.array(
            [{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}],
            pa.struct([("a", pa.int32()), ("b", pa.string())]),
        ),
        "deep": pa.array(
            [[{"m": [(1, "x")]}, None], None, []],
            pa.list_(pa.struct([("m", pa.map_(pa.int32(), pa.string()))])),
        ),
    }
)
SECONDS_AND_NANOS = pa.struct([("sec", pa.int64()), ("nano", pa.int32())])
#: The same rows in the other forms that clients may send.
ROWS_IN_OTHER_FORMS = pa.record_batch(
    {
        "number": pa.array([1, None, 3], pa.int16()),
        "words": pa.array(["longer than twelve bytes", None, "short"], pa.string_view()),
        "short": pa.array(["one", None, "one"]).dictionary_encode(),
        "bytes": pa.array([b"one", None, b"three"], pa.large_binary()),
        "price": pa.array([Decimal("1.23"), None, Decimal("-4.5")], pa.decimal256(40, 5)),
        "day": pa.array([0, None, 86_400_000], pa.date64()),
        "instant": pa.array([{"sec": 1, "nano": 2}, None, None], SECONDS_AND_NANOS),
        "list": pa.array([[1, 2], None, [None]], pa.large_list(pa.int8())),
        "pair": pa.nulls(3),
    }
)  # fmt: skip


class Target:
    """A table under fire. ``upload`` returns the error code, or None if the rows were taken."""

    def __init__(self, server: LocalServer, name: str, columns: object) -> None:
        self.server = server
        self.pid = server.pid
        self.name = name
        odps = server.odps()
        odps.create_table(name, columns)
        self.client = StorageApiArrowClient(odps, odps.get_table(name))
        self._begin()

    def _begin(self) -> None:
        self.session = self.client.create_write_session(flags={"overwrite": True}).session_id
        self.version = -1
        self._before = self._all_files()

    def _all_files(self) -> set[Path]:
        directories = (self.server.root / "projects/demo/data/default").glob(f"{self.name}-*")
        return {path for directory in directories for path in directory.rglob("*") if path.is_file()}

    def _new_version(self) -> None:
        self.version += 1
        self.client.create_write_stream(self.session, 0, self.version)
        assert self._all_files() == self._before, "a new version drops the rows of the one before"

    def upload(self, data: bytes) -> str | None:
        """Send ``data`` to a new version of the stream and check that nothing is left of what was refused."""
        self._new_version()
        code = self._send(data)
        stream = self.client.get_write_stream(self.session, "0", self.version)
        self.message = stream.error_message
        if code is None:
            assert stream.status == "OPEN"
            return None
        assert (stream.status, stream.error_code) == ("ERROR", code)
        assert self.message
        assert (stream.record_count, stream.byte_size) == (0, 0)
        assert self._all_files() == self._before
        return code

    def _send(self, data: bytes) -> str | None:
        writer = self.client.write_rows_stream(self.session, 0, self.version)
        refusal: ClientError | None = None
        try:
            writer.write(data)
            writer.finish()
        except ClientError as error:
            refusal = error
        if refusal is None:
            return None
        assert (refusal.status_code, refusal.code in REFUSALS) == (400, True), refusal
        assert len(str(refusal)) < 10_000
        return refusal.code

    def commit(self) -> pa.Table:
        """Commit what the stream holds and return what the table holds then; a new session begins."""
        self.client.close_write_stream(self.session, 0, self.version)
        self.client.commit_write_session(self.session)
        self._begin()
        reading = self.client.create_read_session()
        tables = [
            pa.ipc.open_stream(self.client.read_rows_stream(reading.session_id, split)).read_all()
            for split in range(reading.splits_count)
        ]
        for table in tables:
            table.validate(full=True)
        return pa.concat_tables(tables) if tables else pa.table({})

    def attack(self, data: bytes) -> None:
        """Send ``data``; what is taken must read back."""
        if self.upload(data) is None:
            count = self.client.get_write_stream(self.session, "0", self.version).record_count
            assert self.commit().num_rows == count

    def check_empty(self) -> None:
        """Check that nothing is to be seen of all that was refused."""
        self._new_version()
        assert self.commit().num_rows == 0

    def rss_high(self) -> int:
        """Return the most memory the server has held so far, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with local_server() as server:
        pid = server.pid
        yield server
        assert server.pid == pid
        assert "unexpected error" not in server.log


@pytest.fixture(scope="module")
def every(server: LocalServer) -> Target:
    return Target(server, "every_type", COLUMNS)


@pytest.fixture(scope="module")
def numbers(server: LocalServer) -> Target:
    return Target(server, "numbers", "c bigint")


@pytest.fixture(scope="module")
def texts(server: LocalServer) -> Target:
    return Target(server, "texts", "c string")


@pytest.fixture(scope="module")
def parted(server: LocalServer) -> Target:
    return Target(server, "parted", ("c bigint", "pt string"))


def test_the_rows_that_are_damaged_below_are_good(every: Target) -> None:
    assert every.upload(encode(ROWS_OF_EVERY_TYPE)) is None
    assert every.commit().num_rows == 3
    assert every.upload(encode(ROWS_IN_OTHER_FORMS)) is None
    assert every.commit().num_rows == 3
    every.check_empty()


OPTIONS: dict[str, dict[str, object]] = {
    "plain": {},
    "zstd": {"compression": "zstd"},
    "lz4": {"compression": "lz4"},
    "legacy": {"use_legacy_format": True, "metadata_version": pa.ipc.MetadataVersion.V4},
}


def test_a_small_stream_cut_anywhere(numbers: Target) -> None:
    """Every single length is tried in tests/lake/test_arrow_input.py."""
    data = encode(column([1, 2, 3]))
    for length in [*range(1, len(data) - 8, 9), *range(len(data) - 8, len(data))]:
        assert numbers.upload(data[:length]) == "DATA_ERROR"
    numbers.check_empty()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_larger_stream_cut_somewhere(numbers: Target, rng: Random, options: dict[str, object]) -> None:
    batch = column([rng.getrandbits(60) for _ in range(50_000)])
    data = encode(*[batch] * 4, **options)
    messages = [len(message.encoded) for message in take_apart(encode(batch))]
    points = [len(data) - 8, len(data) - 4, len(data) - 1, len(data) - 8 - messages[-1]]
    for length in points + [rng.randrange(len(data)) for _ in range(8)]:
        assert numbers.upload(data[:length]) == "DATA_ERROR"
        assert "truncated" in numbers.message
    numbers.check_empty()


def test_a_connection_cut_leaves_the_stream_open(numbers: Target) -> None:
    numbers._new_version()
    writer = numbers.client.write_rows_stream(numbers.session, 0, numbers.version)
    writer.write(encode(column([1] * 200_000))[:-100])
    writer.close()
    numbers._send(encode(column([1])))
    assert numbers.client.get_write_stream(numbers.session, "0", numbers.version).status == "OPEN"
    assert numbers.commit().num_rows == 1


def test_what_follows_the_end_is_refused(numbers: Target) -> None:
    for rest in (b"\0", b"x" * 100_000, encode(column([1]))):
        assert numbers.upload(encode(column([1])) + rest) == "DATA_ERROR"
    numbers.check_empty()


@pytest.mark.parametrize("length", [-1, 0, 8, 1 << 20, limits.MAX_ARROW_MESSAGE, 2**40, 2**63 - 1])
def test_a_lying_body_length(numbers: Target, length: int) -> None:
    data = damaged(column([1, 2, 3]), lambda m: m.put("<q", m.root, BODY_LENGTH, length))
    assert numbers.upload(data) == "DATA_ERROR"


@pytest.mark.parametrize(("offset", "length"), [(-8, 8), (0, -1), (0, 1 << 20), (1 << 40, 8), (2**63 - 8, 8)])
def test_buffers_outside_the_body(numbers: Target, offset: int, length: int) -> None:
    assert numbers.upload(damaged(column([1, 2]), lambda m: m.put_buffer(1, offset, length))) == "DATA_ERROR"


def test_a_validity_bitmap_too_short(numbers: Target) -> None:
    data = damaged(column([1, None] * 50), lambda m: m.put_buffer(0, m.buffer(0)[0], 1))
    assert numbers.upload(data) == "DATA_ERROR"


def _with_offsets(name: str, form: str, *offsets: int) -> bytes:
    """Return rows whose column ``name`` has these first offsets."""
    batch = ROWS_OF_EVERY_TYPE.select([name])
    if form == "<4q":
        large = pa.large_string() if name == "words" else pa.large_list(pa.int64())
        batch = pa.record_batch({name: batch.column(0).cast(large)})
    return damaged(batch, lambda m: put_numbers(m, 1, form, *offsets))


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("words", "<4i"),
        ("words", "<4q"),
        ("bytes", "<4i"),
        ("list", "<4i"),
        ("list", "<4q"),
        ("lookup", "<4i"),
        ("deep", "<4i"),
    ],
)
@pytest.mark.parametrize("offsets", [(-1, 1, 1, 2), (0, 2, 1, 3), (0, 1, 1, 1 << 30), (9, 9, 9, 9)])
def test_wrong_offsets(every: Target, name: str, form: str, offsets: tuple[int, ...]) -> None:
    assert every.upload(_with_offsets(name, form, *offsets)) == "DATA_ERROR"


@pytest.mark.parametrize("index", [-1, 2, 127])
def test_a_dictionary_index_out_of_range(texts: Target, index: int) -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), ["a", "b"])
    assert texts.upload(damaged(column(words), lambda m: put_numbers(m, 1, "<b", index))) == "DATA_ERROR"


def test_text_that_is_not_utf8(texts: Target) -> None:
    assert texts.upload(damaged(column(["abc"]), lambda m: put_numbers(m, 2, "<B", 0xFF))) == "DATA_ERROR"
    assert texts.upload(encode(column([b"\xff"], pa.binary()))) == "DATA_ERROR"


def _schema_alone(*fields: pa.Field) -> bytes:
    return pa.schema(fields).serialize().to_pybytes() + END


def _nested(levels: int) -> pa.DataType:
    return pa.list_(_nested(levels - 1)) if levels else pa.int8()


@pytest.mark.parametrize("levels", [limits.MAX_NESTING, 100, 500])
def test_nesting_past_the_limit(every: Target, levels: int) -> None:
    assert every.upload(_schema_alone(pa.field("list", _nested(levels)))) == "DATA_ERROR"


@pytest.mark.parametrize(
    "fields",
    [
        [pa.field("nobody", pa.int64())],
        [pa.field("c", pa.int64()), pa.field("C", pa.int64())],
        [pa.field("c" * 1000, pa.int64())],
        [pa.field("c" * 10_000_000, pa.int64())],
        [pa.field("c", pa.struct([pa.field("m" * 10_000_000, pa.int64())]))],
        [pa.field(f"c{number}", pa.int8()) for number in range(100_000)],
        [pa.field("__operation", pa.int8()), pa.field("c", pa.int64())],
        [pa.field("\0", pa.int64())],
    ],
    ids=["unknown", "twice", "long", "longest", "long inside", "many", "operation", "nul"],
)
def test_a_wrong_schema(numbers: Target, fields: list[pa.Field]) -> None:
    assert numbers.upload(_schema_alone(*fields)) == "SCHEMA_MISMATCH"


@pytest.mark.parametrize(
    "values",
    [
        pa.array([True]),
        pa.array(["1"]),
        pa.array([[1]]),
        pa.array([{"a": 1}]),
        pa.array([{f"{'m' * 100}{number}": 1 for number in range(1000)}]),
        pa.array([1], pa.timestamp("s")),
        pa.array([1], pa.duration("s")),
        pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])]),
        pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
        pa.RunEndEncodedArray.from_arrays([5], [1]),
        pa.array([b"0123456789abcdef"], pa.uuid()),
        pa.array(["{}"], pa.json_()),
    ],
    ids=lambda values: str(values.type)[:30],
)
def test_a_type_that_does_not_fit(numbers: Target, values: pa.Array) -> None:
    assert numbers.upload(encode(column(values))) == "SCHEMA_MISMATCH"


@pytest.mark.parametrize("value", ["123456789.00", "-99999999999", "0.001"])
def test_decimals_that_do_not_fit(every: Target, value: str) -> None:
    batch = pa.record_batch({"price": pa.array([Decimal(value)], pa.decimal128(38, 3))})
    assert every.upload(encode(batch)) == "DATA_ERROR"


def test_decimals_of_more_digits_than_declared(every: Target) -> None:
    """The type is the column's own, so nothing is cast."""
    data = damaged(ROWS_OF_EVERY_TYPE.select(["price"]), lambda m: put_numbers(m, 1, "<qq", -1, 2**62))
    assert every.upload(data) == "DATA_ERROR"


def test_rows_without_a_partition(parted: Target) -> None:
    assert parted.upload(encode(column([1]))) == "InvalidArgument"
    nobody = pa.record_batch({"c": pa.array([1]), "pt": pa.array([None], pa.string())})
    assert parted.upload(encode(nobody)) == "InvalidArgument"
    assert parted.upload(encode(pa.record_batch({"c": [1, 2], "pt": ["a", ""]}))) == "InvalidArgument"
    assert parted.upload(encode(pa.record_batch({"c": [1, 2], "pt": ["a", "x" * 300]}))) == "InvalidArgument"
    parted.check_empty()


def test_batches_without_rows_are_harmless(parted: Target) -> None:
    rows = pa.record_batch({"c": [1, 2], "pt": ["a", "b"]})
    assert parted.upload(encode(rows.slice(0, 0), rows, rows.slice(0, 0))) is None
    assert parted.commit().num_rows == 2


# -- memory -----------------------------------------------------------------------------------------

#: A message, what it decompresses to, and what that is cast to.
MOST_MEMORY = 3 * limits.MAX_ARROW_MESSAGE


def _no_columns(rows: int) -> bytes:
    batch = pa.RecordBatch.from_struct_array(pa.array([{}], pa.struct([])))
    return damaged(batch, lambda m: m.put("<q", m.table(HEADER), ROWS, rows))


def test_rows_that_unfold(server: LocalServer) -> None:
    wide = Target(server, "wide", ", ".join(f"c{number} string" for number in range(300)))
    for rows in (1_000_000, limits.MAX_UNBACKED_VALUES, 2**40, 2**62):
        assert wide.upload(_no_columns(rows)) == "DATA_ERROR"
    nulls = pa.record_batch({f"c{number}": pa.nulls(1_000_000) for number in range(300)})
    assert wide.upload(encode(nulls)) == "DATA_ERROR"
    same = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int8()), pa.array(["x" * 50_000]))
    words = pa.record_batch({f"c{number}": same for number in range(5)})
    assert wide.upload(encode(words, compression="zstd")) == "DATA_ERROR"
    assert wide.rss_high() < MOST_MEMORY
    wide.check_empty()


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_decompression_bombs(numbers: Target, codec: str) -> None:
    count = limits.MAX_ARROW_MESSAGE // 8
    data = encode(column(pa.nulls(count + 1, pa.int64()).fill_null(0)), compression=codec)
    assert len(data) < limits.MAX_ARROW_MESSAGE // 100
    assert numbers.upload(data) == "DATA_ERROR"
    for size in (-2, 0, 800_000_000, 2**40, limits.MAX_ARROW_MESSAGE - 100):
        lie = damaged(
            column([0] * 100), lambda m, size=size: put_numbers(m, 1, "<q", size), compression=codec
        )
        assert numbers.upload(lie) == "DATA_ERROR"
    assert numbers.rss_high() < MOST_MEMORY
    numbers.check_empty()


# -- chance -----------------------------------------------------------------------------------------

INTERESTING = (
    0,
    1,
    -1,
    2,
    7,
    8,
    127,
    128,
    255,
    65_535,
    2**24 + 1,
    2**31 - 1,
    -(2**31),
    2**40,
    2**63 - 1,
    -(2**63),
)
SEEDS = [
    encode(batch, **options)
    for batch in (ROWS_OF_EVERY_TYPE, ROWS_IN_OTHER_FORMS)
    for options in OPTIONS.values()
]


def _flip_bits(rng: Random) -> bytes:
    data = bytearray(rng.choice(SEEDS))
    for _ in range(rng.choice((1, 1, 2, 10))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _random_bytes(rng: Random) -> bytes:
    return rng.choice((b"", b"\xff\xff\xff\xff\x40\0\0\0")) + rng.randbytes(rng.randrange(300))


def _overwrite_number(rng: Random, data: bytearray) -> None:
    form = rng.choice(("<b", "<h", "<i", "<q"))
    size = struct.calcsize(form)
    if len(data) >= size:
        bits = 8 * size
        value = (rng.choice(INTERESTING) + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
        patch(form, data, rng.randrange(0, len(data) - size + 1, size), value)


def _messages(rng: Random) -> list[Message]:
    batch = rng.choice((ROWS_OF_EVERY_TYPE, ROWS_IN_OTHER_FORMS))
    batch = batch.select(rng.sample(batch.schema.names, rng.choice((1, 2, len(batch.schema.names)))))
    return take_apart(encode(batch, compression=rng.choice((None, "zstd", "lz4"))))


def _change_metadata(rng: Random) -> bytes:
    messages = _messages(rng)
    for _ in range(rng.choice((1, 1, 3))):
        _overwrite_number(rng, rng.choice(messages).metadata)
    return join(messages)


def _change_bodies(rng: Random) -> bytes:
    messages = _messages(rng)
    for _ in range(rng.choice((1, 1, 3))):
        _overwrite_number(rng, rng.choice(messages[1:]).body)
    return join(messages)


def _mix_messages(rng: Random) -> bytes:
    messages = _messages(rng) + (_messages(rng) if rng.random() < 0.5 else [])
    return join(rng.choices(messages, k=rng.randrange(1, 6)))


ATTACKS: tuple[Callable[[Random], bytes], ...] = (
    _flip_bits,
    _random_bytes,
    _change_metadata,
    _change_metadata,
    _change_bodies,
    _change_bodies,
    _mix_messages,
)


def test_streams_damaged_by_chance(every: Target, rng: Random, budget: Callable[[float], Budget]) -> None:
    for _ in budget(4).points(at_least=50):
        data = rng.choice(ATTACKS)(rng)
        try:
            every.attack(data)
        except Exception as error:
            error.add_note(f"The upload: {data.hex()}")
            raise
    assert every.rss_high() < MOST_MEMORY
