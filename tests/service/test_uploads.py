import io
from concurrent.futures import ThreadPoolExecutor

import pytest

from maxlake.protocol.errors import ErrorCode, MaxlakeError
from maxlake.protocol.messages.write import WriteRowsRequest
from maxlake.service import uploads
from maxlake.service.project import Project
from tests.service.scene import ME, Scene


def test_rows_keep_their_order_when_another_stream_is_replaced(project: Project) -> None:
    scene = Scene(project)
    session = scene.session()
    other, kept = scene.stream(session, "other"), scene.stream(session, "kept")
    for number in range(4):
        scene.write(other, [number])
    scene.write(kept, [100])
    other = scene.stream(session, "other", version=1)
    scene.write(kept, [101])
    scene.write(kept, [102])
    for address in (other, kept):
        scene.close(address)
    scene.commit(session)
    assert scene.ids() == [100, 101, 102]


def test_a_repeated_upload_is_answered_as_the_first_time(project: Project) -> None:
    scene = Scene(project)
    session = scene.session()
    address = scene.stream(session)
    assert scene.write(address, [1, 2], "again") == scene.write(address, [1, 2], "again")
    scene.close(address)
    scene.commit(session)
    assert scene.ids() == [1, 2]


def test_a_repeated_upload_is_read_to_its_end(project: Project) -> None:
    scene = Scene(project)
    address = scene.stream(scene.session())
    scene.write(address, [1, 2], "again")
    request = WriteRowsRequest(stream=address, retry_id="again")
    body = io.BytesIO(b"whatever comes a second time")
    uploads.write(project, scene.target, request, body, ME)
    assert body.read() == b""


def test_uploads_repeated_at_once_are_stored_once(project: Project) -> None:
    scene = Scene(project)
    session = scene.session()
    address = scene.stream(session)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: scene.write(address, [1, 2], "again"), range(4)))
    assert len(set(answers)) == 1
    scene.close(address)
    scene.commit(session)
    assert scene.ids() == [1, 2]
    files = [path for path in project.lake.data.rglob("*") if path.is_file()]
    assert len(files) == 1


def test_a_retry_id_belongs_to_its_stream_and_version(project: Project) -> None:
    scene = Scene(project)
    session = scene.session()
    first, second = scene.stream(session, "0"), scene.stream(session, "1")
    scene.write(first, [1], "id")
    scene.write(second, [2], "id")
    first = scene.stream(session, "0", version=1)
    scene.write(first, [3], "id")
    for address in (first, second):
        scene.close(address)
    scene.commit(session)
    assert sorted(scene.ids()) == [2, 3]


def test_versions_beyond_what_databases_keep_are_refused(project: Project) -> None:
    scene = Scene(project)
    with pytest.raises(MaxlakeError) as caught:
        scene.stream(scene.session(), version=2**63)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
