"""References in cells: found at any depth, in slices, beside nulls and beside what is none."""

from __future__ import annotations

import pyarrow as pa
import pytest

from maxlake.lake.blob_cells import bytes_as_blobs, leaves, objects
from maxlake.protocol.blob_references import KEY_BYTES, BlobLocation, BlobReference, seal
from maxlake.protocol.types.storage import storage_type
from maxlake.protocol.types.text import parse_type


def ref(name: str) -> bytes:
    place = BlobLocation(f"202611/s/{name}", 0, 1, 2)
    return seal(BlobReference(project="p", table_id=1, location=place), bytes(KEY_BYTES)).encode()


CELLS = [
    ("blob", [ref("a"), None, ref("b"), ref("a")]),
    ("array<blob>", [[ref("a"), None], None, [ref("b")], []]),
    ("map<string,blob>", [[("k", ref("a"))], None, [("l", None), ("m", ref("b"))], []]),
    (
        "struct<x:bigint,y:blob,z:array<struct<w:blob>>>",
        [
            {"x": 1, "y": ref("a"), "z": None},
            None,
            {"x": 2, "y": None, "z": [{"w": ref("b")}, None]},
            {"x": None, "y": None, "z": []},
        ],
    ),
]


@pytest.mark.parametrize(("declared", "cells"), CELLS, ids=[each[0] for each in CELLS])
def test_found_at_any_depth(declared: str, cells: list[object]) -> None:
    t = parse_type(declared)
    array = pa.array(cells, storage_type(t))
    found = [value for leaf in leaves(array, t) for value in leaf.drop_null().to_pylist()]
    assert set(found) == {ref("a"), ref("b")}
    assert objects(array, t) == {"202611/s/a", "202611/s/b"}
    assert objects(array.slice(0, 2), t) == {"202611/s/a"}
    assert objects(array.slice(1, 2), t) == {"202611/s/b"}
    assert objects(array.slice(1, 1), t) == set()
    assert objects(array, bytes_as_blobs(array.type)) == {"202611/s/a", "202611/s/b"}


def test_what_is_no_reference_is_passed_over() -> None:
    wild = [
        b"",
        b"\xff\xfe:1:2:3",
        b"maxlake-blob:1:",
        b"maxlake-blob:1:p",
        b"maxlake-blob:1:p::x",
        ref("a"),
        None,
    ]
    assert objects(pa.array(wild, pa.binary()), parse_type("blob")) == {"202611/s/a"}
    assert objects(pa.array(wild[:3], pa.binary()), parse_type("blob")) == set()
    assert objects(pa.array([], pa.binary()), parse_type("blob")) == set()
    assert objects(pa.array([1]), parse_type("bigint")) == set()
