"""Uploads to a service that is slow, silent or early: what is sent ahead, and what never counts or hangs."""

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxlake.client import Compression
from maxlake.client.errors import BrokenConnectionError, MalformedAnswerError
from maxlake.protocol.limits import CLIENT_UPLOAD_AHEAD
from odps import errors, options
from tests.client.replay import ReplayServer, Reply, SecureServer

COMMITTED = Reply({"CommitMessage": "cm"})
REFUSED = Reply({"Code": "SCHEMA_MISMATCH", "Message": "no such column"}, 400, early=True)
EARLY = Reply({"CommitMessage": "cm"}, early=True)
PIECE = os.urandom(1024 * 1024)
#: Seconds a busy machine may take for what takes no time: who waits for the service waits far longer.
PATIENCE = 10
#: More than the sockets of a connection hold, and what may be ahead of them.
PLENTY = 64

Serving = Callable[..., ReplayServer]


@pytest.fixture(params=["http", "https"])
def serving(request: pytest.FixtureRequest, certificate: tuple[Path, Path]) -> Iterator[Serving]:
    if request.param == "http":
        yield ReplayServer
        return
    trusted, options.verify_ssl = options.verify_ssl, str(certificate[0])
    yield lambda *replies: SecureServer(*certificate, *replies)
    options.verify_ssl = trusted


def senders() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "maxlake-upload"]


def no_senders() -> bool:
    """Whether all senders end soon."""
    deadline = time.monotonic() + PATIENCE
    while senders() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not senders()


def stalled(server: ReplayServer) -> Any:
    """Return a writer whose sender waits for the service to read."""
    server.reading.clear()
    writer = server.client().write_rows_stream("s", 0)
    while not senders():
        assert writer.write(PIECE)
    return writer


def write_plenty(writer: Any) -> None:
    for _ in range(PLENTY):
        writer.write(PIECE)


def test_writing_goes_on_while_the_service_does_not_read(serving: Serving) -> None:
    with serving(COMMITTED) as server:
        writer = stalled(server)
        ahead = len(PIECE)
        while ahead + len(PIECE) < CLIENT_UPLOAD_AHEAD - len(PIECE):
            assert writer.write(PIECE)
            ahead += len(PIECE)
        assert senders()
        server.reading.set()
        assert writer.finish() == ("cm", True)
        body = server.last.body
        assert body == PIECE * (len(body) // len(PIECE))
        assert len(body) > ahead
    assert no_senders()


def test_no_more_than_the_limit_is_ahead(serving: Serving) -> None:
    written: list[int] = []
    with serving(COMMITTED) as server:
        server.reading.clear()
        writer = server.client().write_rows_stream("s", 0)

        def write() -> None:
            for number in range(PLENTY):
                assert writer.write(bytearray(PIECE))
                written.append(number)

        thread = threading.Thread(target=write)
        thread.start()
        thread.join(1)
        assert thread.is_alive()
        assert writer._pipeline._ahead <= CLIENT_UPLOAD_AHEAD
        server.reading.set()
        thread.join(30)
        assert writer.finish() == ("cm", True)
        assert server.last.body == PIECE * PLENTY


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["bytes", "lent", "given"]), st.integers(0, 400_000), st.booleans()),
        max_size=40,
    )
)
def test_the_order_and_the_bytes_are_kept(pieces: list[tuple[str, int, bool]]) -> None:
    expected = bytearray()
    with ReplayServer(COMMITTED) as server:
        writer = server.client().write_rows_stream("s", 0)
        for number, (kind, size, reading) in enumerate(pieces):
            (server.reading.set if reading or writer._pending else server.reading.clear)()
            content = bytes([number]) * (size * 5)
            expected += content
            if kind == "given":
                assert writer.give(pa.py_buffer(content))
            elif kind == "bytes":
                assert writer.write(content)
            else:
                lent = bytearray(content)
                assert writer.write(lent)
                lent[:] = b"\xff" * len(lent)
            if len(expected) > CLIENT_UPLOAD_AHEAD:
                server.reading.set()
        server.reading.set()
        assert writer.finish() == ("cm", True)
        assert server.last.body == expected


@pytest.mark.parametrize("compression", list(Compression))
def test_memory_of_a_batch_may_be_used_again(compression: Compression) -> None:
    numpy = pytest.importorskip("numpy")
    with ReplayServer(COMMITTED) as server:
        server.reading.clear()
        writer = server.client().write_rows_arrow("s", 0, compression=compression)
        column = numpy.empty(100_000, dtype="int64")
        for number in range(12):
            column[:] = numpy.random.default_rng(number).integers(0, 2**62, len(column))
            assert writer.write(pa.record_batch({"a": pa.array(column)}))
            if number == 8:
                server.reading.set()
        writer.finish()
        sent = pa.ipc.open_stream(server.last.body).read_all().to_batches()
        for number, batch in enumerate(sent):
            rows = numpy.random.default_rng(number).integers(0, 2**62, len(column))
            assert batch.column(0).equals(pa.array(rows))
        assert len(sent) == 12


def test_no_thread_is_begun_for_a_service_that_keeps_up() -> None:
    with ReplayServer(COMMITTED) as server:
        writer = server.client().write_rows_stream("s", 0)
        for _ in range(3):
            assert writer.write(b"rows")
        writer.finish()
        assert not senders()


@pytest.mark.parametrize("end", ["write", "finish"])
def test_an_answer_to_what_was_sent_ahead_is_raised(serving: Serving, end: str) -> None:
    with serving(REFUSED) as server:
        writer = stalled(server)
        server.reading.set()
        with pytest.raises(errors.ODPSError, match="no such column") as caught:
            write_plenty(writer) if end == "write" else writer.finish()
        assert (caught.value.code, caught.value.status_code) == ("SCHEMA_MISMATCH", 400)
        assert writer.error is caught.value
        assert (writer.write(b""), writer.finish()) == (False, (None, False))
    assert no_senders()


@pytest.mark.parametrize("sent_ahead", [True, False])
def test_success_before_the_end_is_none(serving: Serving, sent_ahead: bool) -> None:
    with serving(EARLY) as server:
        if sent_ahead:
            writer = stalled(server)
            server.reading.set()
        else:
            writer = server.client().write_rows_stream("s", 0)
        with pytest.raises(MalformedAnswerError, match="before the whole body"):
            write_slowly_and_finish(writer)
        assert writer.finish() == (None, False)
    assert no_senders()


def write_slowly_and_finish(writer: Any) -> None:
    writer.write(PIECE)
    time.sleep(0.2)
    writer.finish()


@pytest.mark.parametrize("how", ["close", "drop", "with"])
def test_giving_up_never_waits(serving: Serving, how: str) -> None:
    with serving(COMMITTED) as server:
        writer = stalled(server)
        started = time.monotonic()
        if how == "close":
            writer.close()
            assert (writer.write(b"x"), writer.finish()) == (False, (None, False))
        elif how == "drop":
            del writer
            gc.collect()
        else:
            with pytest.raises(KeyError), writer:
                raise KeyError
        assert time.monotonic() - started < PATIENCE
        assert no_senders()
        server.reading.set()
        assert server.requests == []


def test_a_service_that_takes_nothing_is_given_up() -> None:
    patience, options.read_timeout = options.read_timeout, 1
    try:
        with ReplayServer(COMMITTED) as server:
            writer = stalled(server)
            with pytest.raises(BrokenConnectionError, match="took no data"):
                write_plenty(writer)
            assert writer.finish() == (None, False)
            assert no_senders()
    finally:
        options.read_timeout = patience


def test_the_interpreter_ends_with_an_unfinished_writer() -> None:
    script = """
        import threading
        from tests.client.replay import ReplayServer
        server = ReplayServer()
        server.reading.clear()
        writer = server.client().write_rows_stream("s", 0)
        while "maxlake-upload" not in [each.name for each in threading.enumerate()]:
            writer.write(bytes(1_000_000))
    """
    command = [sys.executable, "-X", "dev", "-c", textwrap.dedent(script)]
    done = subprocess.run(command, timeout=120, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_a_fork_neither_goes_on_nor_harms() -> None:
    with ReplayServer(COMMITTED) as server:
        writer = stalled(server)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                writer.write(PIECE)
            except BrokenConnectionError:
                writer.close()
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        server.reading.set()
        assert writer.write(PIECE)
        assert writer.finish() == ("cm", True)
        assert server.last.body == PIECE * (len(server.last.body) // len(PIECE))
