"""PyODPS 0.13.2's way with blobs, `odps.maxstorage`, in its own process: seconds of each action as JSON.

Run as a script, by the interpreter of the client's environment.
"""

import hashlib
import json
import os
import sys
import time

import pyarrow.compute  # noqa: F401 - odps.maxstorage uses it without importing it
from odps.maxstorage import MaxStorageClient
from odps.maxstorage.options import BlobWriteItem

from odps import ODPS

PIECE = 1024 * 1024


def one_large(writer, manager, size):
    piece, count = os.urandom(PIECE), -(-size // PIECE)
    began = time.monotonic()
    blob = writer.write_blob_stream(column_name="data")
    for _ in range(count):
        blob.write(piece)
    response = blob.finish()
    wrote = time.monotonic() - began
    digest = hashlib.md5(usedforsecurity=False)
    began = time.monotonic()
    reader = manager.read_blob(response.blob_reference)
    while got := reader.read(PIECE):
        digest.update(got)
    read = time.monotonic() - began
    assert digest.digest() == hashlib.md5(piece * count, usedforsecurity=False).digest()
    return {"write one": wrote, "read one": read}


def many_small(writer, manager, count, size):
    blobs = [os.urandom(size) for _ in range(count)]
    how = {"column_name": "data", "checksum_type": BlobWriteItem.ChecksumType.CRC32}
    items = [writer.build_blob_write_item(data, **how) for data in blobs]
    began = time.monotonic()
    references = writer.write_blob_batch(items).blob_references
    wrote = time.monotonic() - began
    began = time.monotonic()
    found = [record.data for record in manager.read_blobs(references)]
    read = time.monotonic() - began
    assert found == blobs
    return {"write batch": wrote, "read": read}


def main():
    setup = json.loads(sys.argv[1])
    odps = ODPS(*setup["key"], setup["project"], endpoint=setup["endpoint"])
    client = MaxStorageClient(odps)
    table = odps.create_table("blobs_of_peer", "id bigint, data blob")
    writer = client.create_table_write_session(table).open_arrow_writer("b0")
    manager = client.open_blob_manager()
    took = one_large(writer, manager, setup["bytes"])
    took |= many_small(writer, manager, setup["count"], setup["size"])
    print(json.dumps(took))


if __name__ == "__main__":
    main()
