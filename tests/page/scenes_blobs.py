"""Scenes of blobs that are read (`read_blobs`, `BlobStreamReader`) and written (`write_blob_…`)."""

import json
from pathlib import Path

import pyarrow as pa

from odps.apis.storage_api_v2 import BlobWriteItem
from tests.clients.scripts.behaviours import same
from tests.page.outputs import Varies, Varying
from tests.page.scene import Broken, Place, scene
from tests.page.substitutions import Kind, Substitution, missing_import, placeholder

#: `column_index` 0 is the blob of these.
IMAGES = "image blob, id bigint"
IMAGES_AND_MORE = "image blob, document blob, id bigint"

SEVERAL = [(b"\1" * 1024, "image/jpeg"), (b"\2" * 2048, "image/png"), (b"\3" * 512, "application/json")]
LARGE = b"0123456789abcdef" * (524288 // 16)


@scene(
    1,
    *(placeholder(f"'blob_ref_00{number + 1}'", f"uploaded[{number}]") for number in range(3)),
    Substitution(
        Kind.LOOP_VARIABLE,
        "for data, mime_type in blob_iterator:",
        "for i, (data, mime_type) in enumerate(blob_iterator):",
    ),
)
def several_blobs_read(stage):
    stage.table(IMAGES)
    names = yield {"uploaded": stage.blobs(*SEVERAL)}
    for reference, (data, _) in zip(names["uploaded"], SEVERAL, strict=True):
        same(Path(f"blob_{reference}").read_bytes(), data)


@scene(2, placeholder("'blob_ref_abc123'", "uploaded[0]"))
def one_blob_read(stage):
    stage.table(IMAGES)
    processed = []
    yield {"uploaded": stage.blobs((LARGE, "image/jpeg")), "process_image": processed.append}
    same(processed, [LARGE])


@scene(3)
def batch_read_back(stage):
    stage.table(IMAGES)
    contents = [bytes([number]) * number for number in range(10)]
    items = [BlobWriteItem(data, mime_type="image/png") for data in contents]
    names = yield {"items": items, "session_id": stage.session(0)}
    same(
        [(each["data"], each["size"]) for each in names["downloaded_blobs"]], [(c, len(c)) for c in contents]
    )


@scene(4)
def blobs_one_at_a_time(stage):
    stage.table(IMAGES)
    analyzed = []

    def analyze_blob(data):
        analyzed.append(data)
        return "Analysis complete"

    references = stage.blobs((LARGE, None), (LARGE[1:], None))
    yield {"large_blob_refs": references, "analyze_blob": analyze_blob}
    same(analyzed, [LARGE, LARGE[1:]])


@scene(5)
def blobs_by_mime_type(stage):
    stage.table(IMAGES)
    seen = []
    value = {"größe": [1, None]}
    references = stage.blobs(
        (json.dumps(value).encode(), "application/json"),
        (b"jpeg", "image/jpeg"),
        (b"anything", None),
        (b"text", "text/plain"),
    )
    names = {
        name: lambda data, name=name: seen.append((name, data))
        for name in ("process_json", "display_image", "process_binary")
    }
    yield {"blob_refs": references, **names}
    same(seen, [("process_json", value), ("display_image", b"jpeg"), ("process_binary", b"anything")])
    same(stage.printed, "Unknown MIME type: text/plain\n")


@scene(6)
def blobs_as_a_list(stage):
    stage.table(IMAGES)
    processed, validated = [], []
    references = stage.blobs(*SEVERAL)
    names = yield {
        "blob_refs": references,
        "process_blob": processed.append,
        "validate_blob": validated.append,
    }
    same(processed, [data for data, _ in SEVERAL])
    same(validated, processed)
    same((names["first_blob_data"], names["first_blob_mime"]), SEVERAL[0])


@scene(7)
def no_blobs(stage):
    stage.table(IMAGES)
    yield {}


@scene(8)
def blobs_of_a_query(stage):
    stage.table("id bigint, blob_ref blob")
    session = stage.session(0)
    wanted, other = stage.blobs((LARGE, None), (b"other", None), session=session)
    stage.send(session, 0, pa.record_batch({"id": [1, 2], "blob_ref": [wanted, other]}))
    stage.commit(session, 0)
    names = yield {}
    same((names["data"], names["mime_type"]), (LARGE, None))
    same(stage.printed, f"Downloaded blob {names['blob_ref']}: {len(LARGE)} bytes\n")


@scene(9)
def blobs_as_files(stage):
    stage.table(IMAGES)
    processed = []
    yield {"refs": stage.blobs(*SEVERAL, (LARGE, "image/jpeg")), "process": processed.append}
    same(b"".join(processed), b"".join(data for data, _ in SEVERAL) + LARGE)
    same(stage.printed.split(), [w for _, each in (*SEVERAL, (0, "image/jpeg")) for w in ("MIME:", each)])


@scene(72)
def blobs_as_files_of_a_reader(stage):
    stage.table(IMAGES)
    processed = []
    references = stage.blobs(*SEVERAL, (b"", None))
    yield {"client": stage.client, "refs": references, "process": processed.append}
    same(b"".join(processed), b"".join(data for data, _ in SEVERAL))
    same(stage.printed.splitlines(), [f"MIME: {each}" for _, each in (*SEVERAL, (b"", None))])


@scene(54)
def images_in_a_batch(stage):
    stage.table(IMAGES, "pt string")
    for number in (1, 2, 3):
        stage.file(f"img{number}.jpg", bytes([number]) * 524288)
    names = yield {}
    expected = [(bytes([number]) * 524288, "image/jpeg") for number in (1, 2, 3)]
    same(stage.read_blobs(names["blob_refs"]), expected)


@scene(55)
def blobs_of_several_partitions(stage):
    stage.table(IMAGES_AND_MORE, "pt string")
    names = yield {
        "session_id": stage.session(0),
        **{f"blob{number}_data": bytes([number]) for number in (1, 2, 3)},
    }
    same(stage.read_blobs(names["response"].blob_references), [(b"\1", None), (b"\2", None), (b"\3", None)])


@scene(56)
def blob_with_a_strong_checksum(stage):
    stage.table(IMAGES)
    names = yield {"session_id": stage.session(0), "read_critical_file": lambda: LARGE}
    same(stage.read_blobs(names["response"].blob_references), [(LARGE, None)])


@scene(57)
def blobs_with_mime_types(stage):
    stage.table(IMAGES_AND_MORE)
    contents = {"json_data_bytes": b"{}", "pdf_data_bytes": b"%PDF"}
    names = yield {"session_id": stage.session(0), **contents}
    expected = [(b"{}", "application/json"), (b"%PDF", "application/pdf")]
    same(stage.read_blobs(names["response"].blob_references), expected)


@scene(58)
def blob_with_a_distribution_key(stage):
    stage.table(IMAGES)
    names = yield {"session_id": stage.session(0), "blob_data": LARGE}
    same(stage.read_blobs(names["response"].blob_references), [(LARGE, None)])


@scene(59)
def many_small_files(stage):
    stage.table(IMAGES)
    small_files = [f"small-{number}" for number in range(100)]
    for number, name in enumerate(small_files):
        stage.file(name, bytes([number]) * number)
    names = yield {"session_id": stage.session(0), "small_files": small_files}
    expected = [(bytes([number]) * number, None) for number in range(100)]
    same(stage.read_blobs(names["response"].blob_references), expected)


@scene(
    60,
    place=Place.FAULTY,
    broken=Broken("NameError: name 'logger' is not defined", "it fails at any warning, to log it"),
)
def batch_with_a_warning(stage):
    stage.table(IMAGES)
    items = [BlobWriteItem(bytes([number])) for number in range(100)]
    names = yield {"session_id": stage.session(0), "items": items}
    same(stage.read_blobs(names["response"].blob_references), [(bytes([n]), None) for n in range(98)])


@scene(61)
def batch_read_by_its_references(stage):
    stage.table(IMAGES)
    items = [BlobWriteItem(data, mime_type=mime_type) for data, mime_type in SEVERAL]
    yield {"session_id": stage.session(0), "items": items}
    expected = [f"Read blob: {len(data)} bytes, type: {mime_type}" for data, mime_type in SEVERAL]
    same(stage.printed.splitlines(), expected)


@scene(62, varies=(Varies(Varying.ID, "blob_ref_abc123"),))
def image_uploaded(stage):
    stage.table(IMAGES, "pt string")
    stage.file("image.jpg", LARGE)
    names = yield {}
    same(stage.read_blobs([names["response"].blob_reference]), [(LARGE, None)])


@scene(63)
def blob_from_memory(stage):
    stage.table(IMAGES)
    names = yield {"session_id": stage.session(0)}
    reference = names["response"].blob_reference
    same(stage.printed, f"Blob uploaded: {reference}\n")
    same(stage.read_blobs([reference]), [(b"generated binary content...", None)])


@scene(64)
def blob_of_a_partition(stage):
    stage.table(IMAGES, "pt string, region string")
    names = yield {"session_id": stage.session(0), "image_data": LARGE}
    same(stage.read_blobs([names["response"].blob_reference]), [(LARGE, None)])


@scene(
    65,
    missing_import("odps", "errors"),
    varies=(Varies(Varying.ID, "abc123"), Varies(Varying.ID, "def456")),
    place=Place.FAULTY,
)
def blob_corrupted_on_its_way(stage):
    stage.table(IMAGES)
    session = stage.session(0)
    yield {"session_id": session, "data": LARGE}
    stage.aborted(session)


@scene(66, varies=(Varies(Varying.SIZE, "104857600"),))
def video_in_chunks(stage):
    stage.table(IMAGES)
    stage.file("large_video.mp4", LARGE + b"end")
    names = yield {"session_id": stage.session(0)}
    same(names["response"].size, len(LARGE) + 3)
    same(stage.read_blobs([names["response"].blob_reference]), [(LARGE + b"end", None)])


@scene(67)
def text_as_a_blob(stage):
    stage.table(IMAGES)
    names = yield {"session_id": stage.session(0)}
    expected = b"This is text data to store as a blob"
    same(stage.read_blobs([names["response"].blob_reference]), [(expected, None)])


@scene(68, missing_import("odps.apis.storage_api_v2", "Status"))
def blob_watched(stage):
    stage.table(IMAGES)
    chunks = [LARGE] * 5
    names = yield {"session_id": stage.session(0), "large_data_chunks": chunks}
    same((stage.printed, bool(names["request_id"])), ("", True))
    same(stage.read_blobs([names["response"].blob_reference]), [(b"".join(chunks), None)])
