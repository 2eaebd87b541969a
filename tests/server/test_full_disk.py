"""A real server whose files may not grow any more: clean errors, nothing half there, and it goes on after."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pyarrow as pa
import pytest

from maxlake.client import StorageApiArrowClient
from maxlake.client.errors import ClientError
from maxlake.testing import LocalServer, local_server

MEBIBYTE = 1024 * 1024


@contextmanager
def files_end_at(server: LocalServer, size: int) -> Iterator[None]:
    """Let the process write nothing beyond ``size`` bytes of any file."""
    soft, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (soft, hard))


def test_what_cannot_be_written_is_a_clean_error_and_can_be_repeated(rng: Random) -> None:
    rows = pa.record_batch({"c": [rng.randbytes(MEBIBYTE) for _ in range(4)]})
    with local_server() as server:
        odps = server.odps()
        odps.create_table("t", "c binary")
        client = StorageApiArrowClient(odps, odps.get_table("t"))
        client.retry_seconds = 0
        session = client.create_write_session().session_id
        client.create_write_stream(session, 0)

        def upload() -> None:
            writer = client.write_rows_arrow(session, 0)
            writer.write(rows)
            writer.finish()

        def data_files() -> int:
            return sum(path.is_file() for path in server.root.glob("projects/demo/data/**/*"))

        with files_end_at(server, 2 * MEBIBYTE), pytest.raises(ClientError, match="could not write") as full:
            upload()
        assert full.value.status_code == 500
        assert data_files() == 0
        assert client.get_write_stream(session, "0", 0).status == "OPEN"
        upload()
        client.close_write_stream(session, 0)
        with files_end_at(server, 0), pytest.raises(ClientError, match="could not write its catalog"):
            client.commit_write_session(session)
        assert client.create_read_session().record_count == 0
        client.commit_write_session(session)
        assert client.create_read_session().record_count == rows.num_rows
        assert data_files() == 1
