"""Blobs as the service takes and gives them (wire.md §11, drift.md A.11, B.16 to B.19)."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from maxlake.lake import blob_key
from maxlake.protocol import blob_references, limits
from maxlake.protocol.blob_references import BlobLocation, BlobReference
from maxlake.protocol.enums import ChecksumType
from maxlake.protocol.errors import ErrorCode, MaxlakeError
from maxlake.protocol.messages.blobs import Checksum
from maxlake.protocol.targets import TableTarget
from maxlake.service import blobs, write_sessions
from maxlake.service.project import Project
from maxlake.service.service import Service, ServiceSettings
from tests.postgresql import Postgresql
from tests.service.blob_scene import BlobScene, frame
from tests.service.scene import ME


@pytest.fixture
def service(tmp_path: Path, database: Postgresql | None) -> Iterator[Service]:
    name = f"p{abs(hash(str(tmp_path)))}"
    service = Service.open(tmp_path, project=name, database_url=database.url if database else None)
    yield service
    service.close()


@pytest.fixture
def project(service: Service, tmp_path: Path) -> Project:
    return service.project(f"p{abs(hash(str(tmp_path)))}")


@pytest.fixture
def scene(service: Service, project: Project) -> BlobScene:
    return BlobScene(service, project)


def refused(call, code: ErrorCode, says: str = ".") -> None:
    with pytest.raises(MaxlakeError, match=says) as caught:
        call()
    assert caught.value.code is code


def files(project: Project) -> list[Path]:
    return [path for path in project.lake.blobs.root.rglob("*") if path.is_file()]


def test_a_blob_is_answered_with_its_size_and_md5(scene: BlobScene) -> None:
    session, data = scene.session(), os.urandom(3_000_000)
    answer = scene.response(session, data, spec="pt=a")
    assert (answer.size, answer.md5_value) == (len(data), hashlib.md5(data).hexdigest())
    assert not answer.warning_message
    decoded = base64.b64decode(answer.blob_reference).decode()
    assert scene.read_blobs([answer.blob_reference, decoded]) == [data, data]


def test_references_survive_the_process_and_another_opening(
    scene: BlobScene, service: Service, tmp_path: Path
) -> None:
    reference = scene.blob(scene.session(), b"kept")
    scene.project.lake.close()
    again = Service(tmp_path.resolve(), service._database_url, ServiceSettings())
    try:
        scene.service = again
        assert scene.read_blobs([reference]) == [b"kept"]
    finally:
        again.close()


def test_the_key_is_made_once_and_shared(scene: BlobScene) -> None:
    with scene.project.lake.database.write() as connection:
        assert blob_key.load(connection) == scene.project.lake.blob_key
    assert len(scene.project.lake.blob_key) == blob_references.KEY_BYTES


def crc32_of(data: bytes) -> Checksum:
    return Checksum(type=ChecksumType.CRC32, crc32=zlib.crc32(data))


def md5_of(data: bytes) -> Checksum:
    return Checksum(type=ChecksumType.MD5, md5=hashlib.md5(data).hexdigest().upper())


@pytest.mark.parametrize(
    ("checksum", "wrong"),
    [
        (crc32_of, Checksum(type=ChecksumType.CRC32, crc32=1)),
        (crc32_of, Checksum(type=ChecksumType.CRC32)),
        (md5_of, md5_of(b"")),
        (md5_of, Checksum(type=ChecksumType.MD5)),
    ],
)
def test_checksums_are_verified_before_anything_is_stored(scene: BlobScene, checksum, wrong) -> None:
    session = scene.session()
    contents = [b"", b"small", os.urandom(2_500_000)]
    good = b"".join(frame(data, checksum(data)) for data in contents)
    assert scene.read_blobs(scene.batch(session, good).blob_references) == contents
    before = sorted((path, path.stat().st_size) for path in files(scene.project))
    for data in contents[1:]:
        body = good + frame(data, wrong)
        refused(lambda body=body: scene.batch(session, body), ErrorCode.CHECKSUM_MISMATCH, "blob 3")
    assert sorted((path, path.stat().st_size) for path in files(scene.project)) == before


def test_a_batch_is_all_or_nothing(scene: BlobScene, monkeypatch: pytest.MonkeyPatch) -> None:
    session = scene.session()
    good = frame(b"x")
    for bad, says in (
        (frame(b"x")[:-1], "whole frames"),
        (frame(b"x", content_type="x" * (limits.MAX_MIME_TYPE + 1)), "ContentType"),
        (frame(b"x", content_type="é"), "ContentType"),
        (frame(b"x", custom_file_name="é" * 128), "CustomFileName"),
        (frame(b"x", custom_file_name="a\nb"), "CustomFileName"),
        (frame(b"x", partition_values=("region=a",)), "region"),
        (frame(b"x", column_index=17), None),
    ):
        if says is None:  # the one BLOB column is meant
            assert scene.batch(session, good + bad).warning_message
            continue
        refused(lambda bad=bad: scene.batch(session, good + bad), ErrorCode.INVALID_ARGUMENT, "blob 1")
        refused(lambda bad=bad: scene.batch(session, good + bad), ErrorCode.INVALID_ARGUMENT, says)
    monkeypatch.setattr(blobs, "MAX_BLOBS_PER_BATCH", 2)
    refused(lambda: scene.batch(session, good * 3), ErrorCode.INVALID_ARGUMENT, "at most 2 blobs")
    monkeypatch.setattr(blobs, "MAX_UPLOAD_BODY", 100)
    refused(
        lambda: scene.batch(session, frame(b"x" * 99) + frame(b"xx")), ErrorCode.INVALID_ARGUMENT, "several"
    )
    monkeypatch.setattr(blobs, "MAX_BLOB", 10)
    refused(
        lambda: scene.batch(session, good + frame(b"x" * 11)), ErrorCode.INVALID_ARGUMENT, "blob 1.*larger"
    )
    refused(lambda: scene.blob(session, b"x" * 11), ErrorCode.INVALID_ARGUMENT, "larger than 10 bytes")
    assert scene.read_blobs(scene.batch(session, good).blob_references) == [b"x"]


def test_type_and_name_come_back(scene: BlobScene) -> None:
    name = 'päck"\\.png'
    answer = scene.batch(scene.session(), frame(b"x", content_type="image/png", custom_file_name=name))
    text = blob_references.decoded(answer.blob_references[0])
    assert text is not None
    reference = blob_references.unseal(text, scene.project.lake.blob_key)
    assert reference is not None
    assert (reference.mime_type, reference.file_name) == ("image/png", name)


def test_who_has_no_session_stores_nothing(scene: BlobScene) -> None:
    session = scene.session()
    refused(lambda: scene.blob("nosuch", b"x"), ErrorCode.NO_SUCH_OBJECT)
    refused(lambda: scene.blob(session, b"x", stream="a/b"), ErrorCode.INVALID_ARGUMENT)
    scene.append_references(session, [])
    refused(lambda: scene.blob(session, b"x"), ErrorCode.INVALID_SESSION_STATUS)
    assert not files(scene.project)
    assert scene.read_blobs([scene.blob("default", b"for streamed rows")]) == [b"for streamed rows"]


def test_nested_columns_have_ids_of_their_own(service: Service, project: Project) -> None:
    scene = BlobScene(service, project, "id bigint, data array<blob>, more struct<a:int,b:map<string,blob>>")
    session = scene.session()
    ids = (5, 9)
    assert [scene.response(session, b"x", index=index).warning_message for index in ids] == ["", ""]
    for index in {*range(12)} - {*ids}:
        refuse = lambda index=index: scene.blob(session, b"x", index=index)  # noqa: E731
        refused(refuse, ErrorCode.INVALID_ARGUMENT, "data, more")


def test_references_of_others_are_refused_by_readers_and_writers(
    scene: BlobScene, service: Service, tmp_path: Path, database: Postgresql | None
) -> None:
    session = scene.session()
    mine = scene.blob(session, b"mine")
    scene.target = TableTarget(scene.project.name, "default", "u")
    assert scene.sql("CREATE TABLE u (id bigint, data blob) PARTITIONED BY (pt string);").succeeded
    of_u = scene.blob(scene.session(), b"of another table")
    scene.target = TableTarget(scene.project.name, "default", "t")
    assert scene.read_blobs([mine, of_u]) == [b"mine", b"of another table"]
    forged = blob_references.encoded(
        blob_references.seal(
            BlobReference(
                project=scene.project.name, table_id=1, location=BlobLocation("../../lake", 0, 9, 0)
            ),
            bytes(blob_references.KEY_BYTES),
        )
    )
    nowhere = blob_references.encoded(
        blob_references.seal(
            BlobReference(project="nosuch", table_id=1, location=BlobLocation("202611/s/0-a", 0, 9, 0)),
            scene.project.lake.blob_key,
        )
    )
    for wrong in (forged, nowhere):
        refused(lambda wrong=wrong: scene.read_blobs([mine, wrong]), ErrorCode.NO_SUCH_OBJECT, "reference 1")
    for number, wrong in enumerate((forged, nowhere, of_u)):
        writing, where = scene.session(), str(number)
        refused(
            lambda wrong=wrong, w=writing, s=where: scene.append_references(w, [mine, wrong], s),
            ErrorCode.DATA_ERROR,
            "column data",
        )


def test_a_reference_lives_as_long_as_a_row_has_it(scene: BlobScene) -> None:
    """Also when its session is aborted, or its table dropped while a version still has the row."""
    first, second = scene.session(), scene.session()
    shared, lost = scene.blob(first, b"shared"), scene.blob(first, b"lost", stream="1")
    scene.append_references(second, [shared, None, ""])
    write_sessions.abort(scene.project, scene.target, first, ME)
    refused(lambda: scene.read_blobs([lost]), ErrorCode.NO_SUCH_OBJECT, "aborted")
    cells = scene.cells()
    assert cells[1:] == [None, None]
    assert scene.read_blobs(cells[:1]) == scene.read_blobs([shared]) == [b"shared"]
    third = scene.session()
    refused(lambda: scene.append_references(third, [lost]), ErrorCode.DATA_ERROR, "aborted")
    scene.append_references(scene.session(), [shared])
    assert scene.sql("DROP TABLE t;").succeeded
    assert scene.read_blobs([shared]) == [b"shared"]


def test_too_many_references_are_refused(scene: BlobScene) -> None:
    reference = scene.blob(scene.session(), b"x")
    with pytest.raises(MaxlakeError, match="at most"):
        scene.read_blobs([reference] * (limits.MAX_BLOBS_PER_BATCH + 1))
