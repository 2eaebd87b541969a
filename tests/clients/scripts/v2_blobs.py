"""Blobs through `odps.apis.storage_api_v2`: PyODPS 0.13.0's, or ours."""

import base64
import dataclasses
import io
import re

import pyarrow as pa
from behaviours import behaviour, failed, refused, same
from blob_content import SIZES, content
from v2_client import COMPRESSIONS, drained, made

from odps import errors
from odps.apis.storage_api_v2 import BlobWriteItem, ChecksumType, Status

#: Of the table `id bigint, data blob`.
DATA = 1


def opened(context, columns="id bigint, data blob", partitions="pt string"):
    """Create a table, a session for one partition and a stream; return the client and the session's id."""
    client = made(context, columns, partitions)
    session = client.create_write_session("pt=a" if partitions else None).session_id
    client.create_write_stream(session, stream_id=0)
    return client, session


def stored(client, session, data, compression=None, **how):
    how.setdefault("column_index", DATA)
    writer = client.write_blob_stream(session, stream_id=0, compression=compression, **how)
    same(writer.get_status(), Status.RUNNING)
    for start in range(0, max(1, len(data)), 100_000):  # 0.13.0 cannot finish LZ4 without a write
        assert writer.write(data[start : start + 100_000])
    response = writer.finish()
    same((writer.get_status(), response.size), (Status.OK, len(data)))
    assert not writer.writable()
    assert writer.get_request_id()
    return response.blob_reference


def commit(client, session):
    client.close_write_stream(session, stream_id=0)
    client.commit_write_session(session)


def write_cells(client, session, values, dtype=None):
    """Write references into `data`; return the cells as a reader finds them after the commit."""
    writer = client.write_rows_arrow(session, stream_id=0)
    rows = {"id": pa.array(range(len(values)), pa.int64()), "data": pa.array(values, dtype)}
    assert writer.write(pa.record_batch(rows))
    assert writer.finish()[1]
    commit(client, session)
    reading = client.create_read_session()
    tables = [
        drained(client.read_rows_arrow(reading.session_id, split_index=split))
        for split in range(reading.splits_count)
    ]
    return pa.concat_tables(tables).sort_by("id")["data"].to_pylist()


def read(client, references, compression=None):
    return list(client.read_blobs(references, compression))


@behaviour("plain", "zstd", "lz4")
def blobs_of_all_sizes(context):
    client, session = opened(context)
    compression = COMPRESSIONS[context.variant]
    blobs = [content(size, number) for number, size in enumerate(SIZES)]
    references = [stored(client, session, data, compression) for data in blobs]
    for data, reference in zip(blobs, references, strict=True):
        same(read(client, [reference], compression), [(data, None)])
    same(read(client, references, compression), [(data, None) for data in blobs])
    same(read(client, references[::-1] + references[:1]), [(data, None) for data in blobs[::-1] + blobs[:1]])
    same(read(client, []), [])


@behaviour("NONE", "CRC32", "MD5")
def batches_of_blobs(context):
    client, session = opened(context)
    checksum = ChecksumType[context.variant]
    blobs = [content(size, number) for number, size in enumerate(SIZES)]
    types = [None if number == 1 else f"image/x-{number}" for number in range(len(SIZES))]
    items = [
        BlobWriteItem(
            data if number % 2 else io.BytesIO(data),
            partition_values=["pt=a"],
            column_index=DATA,
            distribution_key="user123",
            mime_type=mime_type,
            checksum_type=checksum,
        )
        for number, (data, mime_type) in enumerate(zip(blobs, types, strict=True))
    ]
    response = client.write_blob_batch(items, session, stream_id=0)
    same((response.size, response.warning_message), (sum(SIZES), ""))
    assert response.request_id
    references = response.blob_references
    same(read(client, references), list(zip(blobs, types, strict=True)))
    for number in range(3):
        same(read(client, [references[number]]), [(blobs[number], types[number])])
    empty = client.write_blob_batch([], session, stream_id=0)
    same((empty.blob_references, empty.size), ([], 0))


@behaviour("stream", "iterator")
def blobs_that_look_like_frames(context):
    client, session = opened(context)
    frame = BlobWriteItem(b"inner", column_index=DATA, mime_type="text/plain").serialize()
    blobs = [frame, frame + frame, b"\5" + bytes(7) + b"payload", bytes(8), (2).to_bytes(8, "little") + b"{}"]
    references = [stored(client, session, data) for data in blobs]
    if context.variant == "iterator":
        for data, reference in zip(blobs, references, strict=True):
            same(read(client, [reference]), [(data, None)])
    reader = client.read_blobs(blob_references=references, stream=True)
    for data in blobs:
        same((reader.mime_type, reader.read(3)), (None, data[:3]))
        refused(OSError, reader.next)
        rest = reader.read(1)
        while chunk := reader.read(1000):
            rest += chunk
        same(rest, data[3:])
        reader = reader.next()
    same(reader, None)


@behaviour("blob_reference", "decoded")
def references_in_rows(context):
    """What an upload returns goes into a column, and what the column returns leads to the blob."""
    client, session = opened(context)
    blobs = [content(size) for size in (10, 5000, 2_000_000)]
    references = [stored(client, session, data) for data in blobs]
    if context.variant == "decoded":
        references = [base64.b64decode(each) for each in references]
    cells = write_cells(client, session, [*references, None, references[0][:0]])
    same(cells[3:], [None, None])
    same([data for data, _ in read(client, cells[:3])], blobs)
    same(read(client, [cells[1]]), [(blobs[1], None)])
    same(read(client, [references[2]]), [(blobs[2], None)])


@behaviour("array", "map", "struct")
def references_in_nested_columns(context):
    declared, dtype, wrap = {
        "array": ("array<blob>", pa.list_(pa.string()), lambda r: [r[0], None, r[1]]),
        "map": ("map<string,blob>", pa.map_(pa.string(), pa.string()), lambda r: [("a", r[0]), ("b", r[1])]),
        "struct": (
            "struct<x:blob,y:array<blob>>",
            pa.struct({"x": pa.string(), "y": pa.list_(pa.string())}),
            lambda r: {"x": r[0], "y": [r[1]]},
        ),
    }[context.variant]
    client, session = opened(context, f"id bigint, data {declared}")
    blobs = [b"first", content(1_500_000)]
    references = [stored(client, session, data) for data in blobs]
    (cell,) = write_cells(client, session, [wrap(references)], dtype)
    found = {
        "array": lambda: [cell[0], cell[2]],
        "map": lambda: [cell[0][1], cell[1][1]],
        "struct": lambda: [cell["x"], cell["y"][0]],
    }[context.variant]()
    same([data for data, _ in read(client, found)], blobs)


class Tampered(BlobWriteItem):
    """Says something else of its data than is so."""

    def write_frame_to(self, stream, chunk_size=262144):
        frame = io.BytesIO()
        super().write_frame_to(frame, chunk_size)
        # The last digit of the checksum, which is decimal or hexadecimal.
        stream.write(
            re.sub(rb'(.)("?\}\})$', lambda m: (b"1" if m[1] == b"0" else b"0") + m[2], frame.getvalue())
        )

    def serialize(self):
        frame = io.BytesIO()
        self.write_frame_to(frame)
        return frame.getvalue()


@behaviour("CRC32", "MD5")
def wrong_checksums_are_refused(context):
    client, session = opened(context)
    checksum = ChecksumType[context.variant]
    good = BlobWriteItem(b"good", column_index=DATA, checksum_type=checksum)
    bad = Tampered(content(5000), column_index=DATA, checksum_type=checksum)
    failed(lambda: client.write_blob_batch([good, bad], session, stream_id=0), "ChecksumMismatch", "blob 1")
    response = client.write_blob_batch([good], session, stream_id=0)
    same(read(client, response.blob_references), [(b"good", None)])


@behaviour()
def references_that_lead_nowhere_are_refused(context):
    client, session = opened(context)
    reference = stored(client, session, b"mine")
    other_client, other_session = opened(context_of(context, "other"))
    foreign = stored(other_client, other_session, b"theirs")
    decoded = base64.b64decode(reference).decode()
    forged = (
        decoded.replace(":", ":x", 1),
        decoded[:-1] + ("A" if decoded[-1] != "A" else "B"),
        "blob_ref_1",
        "",
    )
    for wrong in forged:
        failed(
            lambda wrong=wrong: read(client, [reference, wrong]), "NoSuchObject", "reference 1", status=404
        )
        failed(lambda wrong=wrong: read(client, [wrong]), "NoSuchObject", status=404)
    for wrong in (*forged[:3], foreign):
        failing = client.create_write_session("pt=a").session_id
        client.create_write_stream(failing, stream_id=0)
        writer = client.write_rows_arrow(failing, stream_id=0)

        def write(writer=writer, wrong=wrong):
            writer.write(pa.record_batch({"id": [1], "data": [wrong]}))
            if not writer.finish()[1]:  # 0.13.0 keeps the error to itself
                raise errors.ODPSError("not taken", code="DATA_ERROR", status_code=400, request_id="x")

        failed(write, "DATA_ERROR")
        same(client.get_write_stream(failing, 0, 0).status, "ERROR")
    same(read(client, [reference]), [(b"mine", None)])


def context_of(context, suffix):
    return dataclasses.replace(context, name=f"{context.name}_{suffix}")


@behaviour()
def blobs_of_an_aborted_session_are_gone(context):
    client, session = opened(context)
    reference = stored(client, session, b"never mind")
    same(read(client, [reference]), [(b"never mind", None)])
    client.abort_write_session(session)
    failed(lambda: read(client, [reference]), "NoSuchObject", "aborted", status=404)
    failed(lambda: stored(client, session, b"more"), "InvalidSessionStatus", status=409)


@behaviour()
def column_index_counts_from_0(context):
    """The default is 0, and who never thought of it means the only BLOB column there is."""
    client, session = opened(context)
    writer = client.write_blob_stream(session, stream_id=0)
    writer.write("text is taken as UTF-8: é")
    response = writer.finish()
    assert "data" in response.warning_message, response.warning_message
    same(read(client, [response.blob_reference]), [("text is taken as UTF-8: é".encode(), None)])
    batch = client.write_blob_batch([BlobWriteItem(b"x"), BlobWriteItem(b"y")], session, stream_id=0)
    # A warning would make 0.13.0 fail here.
    same(batch.warning_message.count("ColumnIndex 0"), int(context.client == "ours"))
    same(read(client, batch.blob_references), [(b"x", None), (b"y", None)])

    several = context_of(context, "several")
    client, session = opened(several, "image blob, id bigint, sound blob")
    same(client.write_blob_batch(
        [BlobWriteItem(b"x", column_index=0), BlobWriteItem(b"y", column_index=2)], session, stream_id=0
    ).warning_message, "")  # fmt: skip
    for index in (1, 3):
        refuse = lambda index=index: stored(client, session, b"x", column_index=index)  # noqa: E731
        failed(refuse, "InvalidArgument", "image, sound")
    none = context_of(context, "none")
    client, session = opened(none, "id bigint")
    failed(lambda: stored(client, session, b"x", column_index=0), "InvalidArgument", "none")


@behaviour()
def bad_blob_calls_are_refused(context):
    client, session = opened(context)
    bad_partition = {"partition_values": ["nokey=1"]}
    failed(lambda: stored(client, session, b"x", **bad_partition), "InvalidArgument", "nokey")
    items = [BlobWriteItem(b"x", column_index=DATA), BlobWriteItem(b"x", column_index=DATA, **bad_partition)]
    failed(lambda: client.write_blob_batch(items, session, stream_id=0), "InvalidArgument", "blob 1")
    long_type = BlobWriteItem(b"x", column_index=DATA, mime_type="x" * 128)
    failed(
        lambda: client.write_blob_batch([long_type], session, stream_id=0), "InvalidArgument", "ContentType"
    )
    failed(lambda: stored(client, "nosession", b"x"), "NoSuchObject", status=404)
