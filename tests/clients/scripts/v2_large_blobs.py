"""A large blob through `odps.apis.storage_api_v2`."""

from behaviours import behaviour, same
from large_blobs import SIZE, PiecesFile, digest, pieces
from v2_blobs import DATA, opened
from v2_client import COMPRESSIONS

from odps.apis.storage_api_v2 import BlobWriteItem, ChecksumType


@behaviour("plain", "zstd", "lz4")
def a_large_blob(context):
    client, session = opened(context)
    writer = client.write_blob_stream(
        session, stream_id=0, column_index=DATA, compression=COMPRESSIONS[context.variant]
    )
    for piece in pieces():
        assert writer.write(piece)
    reader = client.read_blobs([writer.finish().blob_reference], stream=True)
    same(digest(iter(lambda: reader.read(1 << 20), b"")), digest(pieces()))


@behaviour()
def a_large_blob_in_a_batch(context):
    client, session = opened(context)
    items = [
        BlobWriteItem(PiecesFile(), column_index=DATA, checksum_type=ChecksumType.MD5, size=SIZE),
        BlobWriteItem(b"small", column_index=DATA),
    ]
    references = client.write_blob_batch(items, session, stream_id=0).blob_references
    reader = client.read_blobs(references, stream=True)
    same(digest(iter(lambda: reader.read(1 << 20), b"")), digest(pieces()))
    same(reader.next().read(), b"small")
