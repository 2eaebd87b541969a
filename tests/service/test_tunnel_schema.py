"""Columns as the tunnel tells them."""

import pytest

from maxlake.protocol.messages.schema import ReadColumn, ReadSchema
from maxlake.service.tunnel_schema import tunnel_schema


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ("blob", "string"),
        ("array<blob>", "array<string>"),
        ("map<string,struct<a:blob,b:bigint>>", "map<string,struct<a:string,b:bigint>>"),
        ("decimal(10,2)", "decimal(10,2)"),
    ],
)
def test_references_to_blobs_are_text_to_the_tunnel(stored: str, told: str) -> None:
    column = ReadColumn(name="c", type=stored, column_id=1)
    told_of = tunnel_schema(ReadSchema(data_columns=(column,), partition_columns=(), blob_columns=()))
    assert [each.type for each in told_of.columns] == [told]
