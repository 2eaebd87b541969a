"""A large blob through `odps.maxstorage`."""

from behaviours import behaviour, same
from large_blobs import PiecesFile, digest, pieces
from ms_blobs import codec, opened


@behaviour("2_plain", "2_zstd", "3_plain", "3_lz4")
def ms_a_large_blob(context):
    client, _, _, writer = opened(context)
    how = {"compress_algo": codec(context)} if codec(context) else {}
    blob = writer.write_blob_stream(column_name="data", **how)
    for piece in pieces():
        blob.write(piece)
    reader = client.open_blob_manager().read_blobs([blob.finish().blob_reference], stream=True, **how)
    same(digest(iter(lambda: reader.read(1 << 20), b"")), digest(pieces()))


@behaviour("3")
def ms_a_large_blob_in_a_batch(context):
    client, _, _, writer = opened(context)
    items = [writer.build_blob_write_item(each, column_name="data") for each in (PiecesFile(), b"small")]
    references = writer.write_blob_batch(items).blob_references
    reader = client.open_blob_manager().read_blobs(references, stream=True)
    same(digest(iter(lambda: reader.read(1 << 20), b"")), digest(pieces()))
    same(reader.next().read(), b"small")
