"""Blobs through `odps.maxstorage`: by its writers and its manager, and those that rows take along."""

import io

import pyarrow as pa
from behaviours import behaviour, same
from blob_content import SIZES, content
from ms_client import drained, failed, made
from odps.maxstorage import WriteMode
from odps.maxstorage.options import BlobWriteItem

ChecksumType = BlobWriteItem.ChecksumType
COLUMNS = "id bigint, data blob"


def codec(context):
    """The compression of the behaviour's variant."""
    return {"zstd": "zstd", "lz4": "lz4"}.get(context.variant.partition("_")[2])


def opened(context, columns=COLUMNS, **how):
    """Create a table, a session and a writer."""
    client, table = made(context, columns, partitions=None)
    session = client.create_table_write_session(table)
    return client, table, session, session.open_arrow_writer("b0", **how)


def stored(writer, data, column="data", **how):
    blob = writer.write_blob_stream(column_name=column, **how)
    for start in range(0, max(1, len(data)), 100_000):
        blob.write(data[start : start + 100_000])
    response = blob.finish()
    same(response.size, len(data))
    return response.blob_reference


def read(client, references, **how):
    records = client.open_blob_manager().read_blobs(references, **how)
    return [(record.data, record.mime_type, record.custom_file_name) for record in records]


def cells(client, table, column="data"):
    session = client.create_table_read_session(table)
    parts = [drained(session.open_arrow_reader(split)) for split in session.splits]
    return pa.concat_tables(parts).sort_by("id")[column].to_pylist()


def named(context):
    """The name a blob is given; api 2 has none."""
    return "n.png" if context.variant.startswith("3") else None


@behaviour("2_plain", "2_zstd", "2_lz4", "3_plain", "3_zstd", "3_lz4")
def ms_blobs_of_all_sizes(context):
    client, _, session, writer = opened(context)
    how = {"compress_algo": codec(context)} if codec(context) else {}
    blobs = [content(size, number) for number, size in enumerate(SIZES)]
    references = [stored(writer, data, **how) for data in blobs]
    for data, reference in zip(blobs, references, strict=True):
        same(client.open_blob_manager().read_blob(reference, **how).read(), data)
    same(read(client, references, **how), [(data, None, None) for data in blobs])
    same(read(client, []), [])
    writer.close()
    session.abort()
    failed(lambda: read(client, references), "NoSuchObject", 404, "aborted")


@behaviour("2_NONE", "2_CRC32", "2_MD5", "3_NONE", "3_CRC32", "3_MD5")
def ms_batches_of_blobs(context):
    client, _, _, writer = opened(context)
    checksum = ChecksumType[context.variant[2:]]
    blobs = [content(size, number) for number, size in enumerate(SIZES)]
    items = [
        writer.build_blob_write_item(
            data if number % 2 else io.BytesIO(data),
            column_name="data",
            mime_type="image/png",
            custom_file_name="n.png",
            checksum_type=checksum,
        )
        for number, data in enumerate(blobs)
    ]
    for how in ({}, {"compress_algo": "zstd"}, {"compress_algo": "lz4"}):
        for item, data in zip(items, blobs, strict=True):
            if not isinstance(item.data, bytes):
                item.data = io.BytesIO(data)
        response = writer.write_blob_batch(items, **how)
        same(response.size, sum(SIZES))
        got = read(client, response.blob_references, **how)
        same(got, [(data, "image/png", named(context)) for data in blobs])
    same(client.open_blob_manager().read_blob(response.blob_references[3]).read(), blobs[3])


@behaviour("2", "3")
def ms_blobs_that_look_like_frames(context):
    client, _, _, writer = opened(context)
    header = b'{"ContentType":"text/plain"}'
    frame = len(header).to_bytes(8, "little") + header + (5).to_bytes(8, "little") + b"inner" + bytes(8)
    blobs = [frame, b"\5" + bytes(7) + b"payload", bytes(8)]
    references = [stored(writer, data) for data in blobs]
    for data, reference in zip(blobs, references, strict=True):
        same(read(client, [reference]), [(data, None, None)])
    same([data for data, _, _ in read(client, references)], blobs)
    reader = client.open_blob_manager().read_blobs(references, stream=True)
    got = []
    while reader is not None:
        got.append(b"".join(iter(lambda r=reader: r.read(3), b"")))
        reader = reader.next()
    same(got, blobs)


@behaviour("2", "3")
def ms_references_in_rows(context):
    client, table, session, writer = opened(context)
    blobs = [content(size) for size in (10, 5000, 2_000_000)]
    references = [stored(writer, data) for data in blobs]
    rows = {"id": pa.array([0, 1, 2, 3]), "data": pa.array([*references, None], pa.binary())}
    writer.write_batch(pa.record_batch(rows))
    writer.close()
    session.commit()
    found = cells(client, table)
    same(found[3], None)
    same([data for data, _, _ in read(client, found[:3])], blobs)
    same(client.open_blob_manager().read_blob(found[2]).read(), blobs[2])


@behaviour("2", "3")
def ms_blob_manager(context):
    client, table = made(context, COLUMNS, partitions=None)
    session = client.create_table_write_session(table)
    manager = client.open_blob_manager(table)
    blob = manager.write_blob_stream(session.id, "0")
    blob.write(b"by the manager")
    reference = blob.finish().blob_reference
    item = manager.build_blob_write_item(b"in a batch", session.id, column_name="data", mime_type="text/x")
    batch = manager.write_blob_batch([item], session.id, stream_id="0")
    same(
        read(client, [reference, *batch.blob_references]),
        [(b"by the manager", None, None), (b"in a batch", "text/x", None)],
    )
    streamed = manager.write_blob_stream("default", "0")
    streamed.write(b"for streamed rows")
    same(manager.read_blob(streamed.finish().blob_reference).read(), b"for streamed rows")


@behaviour("2", "3")
def ms_batches_upload_their_blobs(context):
    client, table, session, writer = opened(
        context,
        auto_upload_blobs=True,
        blob_checksum_type=ChecksumType.CRC32,
        blob_mime_type="image/png",
        blob_custom_file_name="n.png",
    )
    blobs = [b"first", content(2_000_000), b"", b"last"]
    writer.write_batch(pa.record_batch({"id": [0, 1, 2, 3], "data": pa.array(blobs, pa.binary())}))
    writer.close()
    session.commit()
    found = cells(client, table)
    same(read(client, found), [(data, "image/png", named(context)) for data in blobs])


@behaviour("2", "3")
def ms_records_upload_their_blobs(context):
    client, table, session, writer = opened(
        context, auto_upload_blobs=True, blob_checksum_type=ChecksumType.MD5
    )
    records = writer.get_as_record_writer()
    records.write([0, b"bytes"])
    records.write([1, io.BytesIO(content(2_000_000))])
    records.write([2, None])
    records.close()
    session.commit()
    found = cells(client, table)
    same(found[2], None)
    same([data for data, _, _ in read(client, found[:2])], [b"bytes", content(2_000_000)])


@behaviour("3_array", "3_map")
def ms_nested_blobs_are_uploaded(context):
    declared, dtype, cell, flat = {
        "array": ("array<blob>", pa.list_(pa.binary()), [b"a", None, b"c"], lambda c: [c[0], c[2]]),
        "map": (
            "map<string,blob>",
            pa.map_(pa.string(), pa.binary()),
            [("k", b"a"), ("l", b"c")],
            lambda c: [c[0][1], c[1][1]],
        ),
    }[context.variant[2:]]
    client, table, session, writer = opened(context, f"id bigint, data {declared}", auto_upload_blobs=True)
    writer.write_batch(pa.record_batch({"id": [0], "data": pa.array([cell], dtype)}))
    writer.close()
    session.commit()
    (found,) = cells(client, table)
    same([data for data, _, _ in read(client, flat(found))], [b"a", b"c"])


@behaviour("3")
def ms_streamed_rows_upload_their_blobs(context):
    client, table = made(context, COLUMNS, partitions=None)
    session = client.create_table_write_session(table, write_mode=WriteMode.STREAMING_REALTIME)
    writer = session.open_arrow_writer("s", auto_upload_blobs=True)
    writer.write_batch(pa.record_batch({"id": [0], "data": pa.array([b"streamed"], pa.binary())}))
    writer.close()
    same(read(client, cells(client, table)), [(b"streamed", None, None)])


@behaviour("2", "3")
def ms_wrong_checksums_are_refused(context):
    client, _, _, writer = opened(context)

    class Tampered(BlobWriteItem):
        def _build_footer(self, crc32_value=None, md5_hex=None):
            md5_hex = md5_hex and md5_hex[::-1]
            return super()._build_footer(crc32_value and crc32_value ^ 1, md5_hex)

    good = writer.build_blob_write_item(b"good", column_name="data")
    for checksum in (ChecksumType.CRC32, ChecksumType.MD5):
        bad = Tampered(b"payload", column_id=good.column_id, checksum_type=checksum)
        failed(lambda bad=bad: writer.write_blob_batch([good, bad]), "ChecksumMismatch", 400, "blob 1")
    same(read(client, writer.write_blob_batch([good]).blob_references), [(b"good", None, None)])


@behaviour("2", "3")
def ms_references_that_lead_nowhere_are_refused(context):
    client, _, _, writer = opened(context)
    reference = stored(writer, b"mine").decode()
    forged = reference.replace(":", ":x", 1), reference[:-1] + ("A" if reference[-1] != "A" else "B"), "ref"
    for wrong in forged:
        for references in ([wrong], [reference, wrong]):
            failed(lambda references=references: read(client, references), "NoSuchObject", 404, "no blob")

    def write():
        writer.write_batch(pa.record_batch({"id": [0], "data": pa.array([forged[1].encode()], pa.binary())}))
        writer.close()

    failed(write, "DATA_ERROR", 400, "reference")
    same(read(client, [reference]), [(b"mine", None, None)])
