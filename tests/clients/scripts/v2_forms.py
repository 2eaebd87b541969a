"""Rows as PyODPS 0.13.0's users have them: data frames, Python's own values, dictionaries (types.md §3)."""

import datetime
from decimal import Decimal
from functools import partial

import pandas as pd
import pyarrow as pa
from behaviours import behaviour, refused, same
from v2_client import made, read, upload, write

from odps import errors

COLUMNS = (
    "id bigint, small smallint, word string, code varchar(3), moment datetime, instant timestamp, "
    "day date, price decimal(10,2), span interval_day_time, pair struct<a:int,b:string>"
)
MOMENT = datetime.datetime(2024, 2, 29, 12, 30, 15, 250_000)


def stored(client):
    return read(client).drop_columns(["pt"]).sort_by("id").to_pylist()


@behaviour()
def data_frames(context):
    """Indexes are columns of no table: they are left out. Instants of pandas are nanoseconds."""
    client = made(context, COLUMNS)
    frame = pd.DataFrame(
        {
            "ID": [1, 2],
            "small": pd.array([7, None], dtype="Int64"),
            "word": pd.Categorical(["b", "a"]),
            "code": ["äöü", None],
            "moment": pd.to_datetime([MOMENT, None]),
            "instant": pd.to_datetime([MOMENT, None], utc=True).tz_convert("Asia/Shanghai"),
            "day": [MOMENT.date(), None],
            "price": [Decimal("1.5"), None],
            "span": pd.to_timedelta([90, None], unit="s"),
            "pair": [{"B": "x", "A": 1}, None],
        }
    )
    write(client, pa.RecordBatch.from_pandas(frame, preserve_index=False), partition="pt=a")
    first, second = stored(client)
    same((first["small"], first["word"], first["code"]), (7, "b", "äöü"))
    same((first["moment"], first["instant"].to_pydatetime()), (MOMENT, MOMENT))
    same((first["day"], first["price"]), (MOMENT.date(), Decimal("1.50")))
    same((first["span"], first["pair"]), ({"sec": 90, "nano": 0}, {"a": 1, "b": "x"}))
    same(second, dict.fromkeys(second) | {"id": 2, "word": "a"})


@behaviour()
def pythons_own_values(context):
    """PyArrow makes microseconds of datetimes, and one decimal type of those it sees."""
    client = made(context, COLUMNS)
    rows = {
        "id": [1],
        "moment": [MOMENT],
        "instant": [MOMENT.replace(tzinfo=datetime.UTC)],
        "price": [Decimal("12.5")],
        "span": [datetime.timedelta(seconds=-1)],
    }
    write(client, pa.RecordBatch.from_pydict(rows), partition="pt=a")
    (found,) = stored(client)
    same((found["moment"], found["instant"].to_pydatetime()), (MOMENT, MOMENT))
    same((found["price"], found["span"]), (Decimal("12.50"), {"sec": -1, "nano": 0}))


@behaviour()
def dictionaries_large_types_and_views(context):
    client = made(context, "id bigint, word string, words array<string>")
    forms = [pa.dictionary(pa.int8(), pa.string()), pa.large_string(), pa.string_view()]
    for number, text in enumerate(forms):
        dictionary = isinstance(text, pa.DictionaryType)
        words = pa.array(["longer than twelve bytes", None])
        rows = {
            "id": pa.array([2 * number, 2 * number + 1], pa.uint8()),
            "word": words.dictionary_encode() if dictionary else words.cast(text),
            "words": pa.array([["x"], None], pa.large_list(pa.large_string())),
        }
        write(client, pa.RecordBatch.from_pydict(rows), partition="pt=a")
    found = [(row["word"], row["words"]) for row in stored(client)]
    same(found, [("longer than twelve bytes", ["x"]), (None, None)] * 3)


@behaviour()
def what_would_be_lost_is_refused(context):
    client = made(context, COLUMNS)
    losses = {
        "small": [2**15],
        "code": ["four"],
        "moment": pa.array([1], pa.timestamp("ns")),
        "price": [Decimal("0.001")],
        "day": [MOMENT],
        "word": [b"\xff"],
    }
    session = client.create_write_session("pt=a").session_id
    for version, (name, values) in enumerate(losses.items()):
        rows = pa.RecordBatch.from_pydict({"id": [1], name: values})
        error = refused(errors.ODPSError, partial(upload, client, session, "0", rows, version=version))
        assert name in str(error), error
    same(read(client).num_rows, 0)
