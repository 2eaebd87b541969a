from __future__ import annotations

import msgspec
import pytest

from maxlake.protocol.columns import Column, TableSchema, check_column_name, read_schema, write_schema
from maxlake.protocol.errors import BadRequestError, ErrorCode
from maxlake.protocol.limits import MAX_COLUMNS, MAX_FIELD_SIZE
from maxlake.protocol.messages.schema import WriteSchema
from maxlake.protocol.types.text import parse_type


def column(name, text, **more):
    return Column(name, parse_type(text), **more)


TABLE = TableSchema(
    (
        column("Id", "bigint", nullable=False, comment="key"),
        column("amount", "decimal(10,2)", default="0"),
        column("tags", "map<string,array<struct<A:char(3),b:blob>>>"),
        column("v", "vector(float,3)"),
    ),
    (column("pt", "string"), column("region", "varchar(8)")),
)


def test_ids_are_positions_and_partition_columns_continue():
    assert [c.column_id for c in TABLE.all_columns] == [1, 2, 3, 4, 5, 6]
    assert [c.name for c in TABLE.partition_columns] == ["pt", "region"]


def test_given_ids_stay():
    kept = TableSchema((column("a", "int", column_id=7),), (column("p", "int", column_id=3),))
    assert [c.column_id for c in kept.all_columns] == [7, 3]
    with pytest.raises(ValueError, match="either all"):
        TableSchema((column("a", "int", column_id=7), column("b", "int")))


def test_lookup_ignores_case():
    assert TABLE.column("ID") is TABLE.columns[0]
    assert TABLE.column("Region") is TABLE.partition_columns[1]
    with pytest.raises(BadRequestError, match="no column 'nope'"):
        TABLE.column("nope")


@pytest.mark.parametrize("name", ["a", "A_1", "1st", "größe", "列", "a$b", "#x", "x" * 128, "_a"])
def test_names(name):
    assert check_column_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a.b", "a/b", "a'b", 'a"b', "a`b", "a\nb", "a\n", "x" * 129, "_ducklake_x",
     "_DuckLake", "__operation"],
)  # fmt: skip
def test_refused_names(name):
    with pytest.raises(BadRequestError) as caught:
        Column(name, parse_type("int"))
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


def test_refused_tables():
    with pytest.raises(BadRequestError, match="at least one column"):
        TableSchema((), (column("p", "string"),))
    with pytest.raises(BadRequestError, match="declared twice"):
        TableSchema((column("a", "int"),), (column("A", "string"),))
    with pytest.raises(BadRequestError, match="at most"):
        TableSchema(tuple(column(f"c{i}", "int") for i in range(MAX_COLUMNS + 1)))
    with pytest.raises(BadRequestError, match="at most"):
        TableSchema((column("a", "int"),), tuple(column(f"p{i}", "int") for i in range(7)))
    for text in ("array<int>", "double", "timestamp", "decimal"):
        with pytest.raises(BadRequestError, match="partition column"):
            TableSchema((column("a", "int"),), (column("p", text),))


def test_read_schema_has_all_keys():
    told = msgspec.json.decode(
        msgspec.json.encode(read_schema(TABLE.columns[:3], TABLE.partition_columns[:1]))
    )
    assert set(told) == {"DataColumns", "PartitionColumns", "SystemColumns", "BlobColumns"}
    assert told["DataColumns"][0] == {
        "Name": "Id", "Type": "bigint", "Comment": "key", "Nullable": False, "ColumnId": 1,
    }  # fmt: skip
    assert told["DataColumns"][2]["Type"] == "map<string,array<struct<a:char(3),b:blob>>>"
    assert told["PartitionColumns"][0]["ColumnId"] == 5
    assert told["SystemColumns"] == []
    assert told["BlobColumns"] == ["tags"]


def test_write_schema_of_plain_columns():
    told = msgspec.json.decode(msgspec.json.encode(write_schema(TABLE.columns, TABLE.partition_columns)))
    assert set(told) == {"DataColumns", "PartitionColumns", "SystemColumns", "MaxFieldSize", "Columns"}
    assert told["DataColumns"][0] == {
        "columnType": {
            "Type": 0, "MemberName": "Id", "ColumnId": 1, "Nullable": False, "Precision": 0, "Scale": 0,
            "SpecifiedLength": 0, "SubTypes": [], "HasDefaultValue": False, "DefaultValue": "",
            "IsDistributionKey": False,
        },
        "comment": "key", "label": "", "extendedLabels": [],
    }  # fmt: skip
    amount = told["DataColumns"][1]["columnType"]
    assert (amount["Type"], amount["Precision"], amount["Scale"]) == (5, 10, 2)
    assert (amount["HasDefaultValue"], amount["DefaultValue"]) == (True, "0")
    assert told["PartitionColumns"][1]["columnType"]["SpecifiedLength"] == 8
    assert told["SystemColumns"] == []
    assert told["MaxFieldSize"] == MAX_FIELD_SIZE
    assert told["Columns"][3] == {"Name": "v", "Type": "vector(float,3)"}
    assert len(told["Columns"]) == 4


def test_write_schema_numbers_nested_nodes_after_the_top():
    told = write_schema(TABLE.columns, TABLE.partition_columns)

    def nodes(node):
        return [(node.column_id, node.member_name, node.type), *(n for s in node.sub_types for n in nodes(s))]

    assert nodes(told.data_columns[2].column_type) == [
        (3, "tags", 18), (7, "key", 4), (8, "value", 17), (9, "element", 19), (10, "a", 9), (11, "b", 22),
    ]  # fmt: skip
    assert nodes(told.data_columns[3].column_type) == [(4, "v", 17), (12, "element", 14)]


def test_write_schema_of_a_primary_key_table():
    told = write_schema(TABLE.columns, (), primary_key=["ID"])
    assert [c.column_type.is_distribution_key for c in told.data_columns] == [True, False, False, False]
    assert [(c.column_type.member_name, c.column_type.type) for c in told.system_columns] == [
        ("__operation", 6)
    ]


def test_write_schema_codes_follow_the_published_table():
    words = [
        "bigint", "double", "boolean", "datetime", "string", "decimal", "tinyint", "smallint", "int",
        "char(1)",
        "varchar(1)", "binary", "date", "timestamp", "float", "interval_year_month", "interval_day_time",
        "array<int>", "map<int,int>", "struct<a:int>", "json", "timestamp_ntz", "blob", "variant",
    ]  # fmt: skip
    told = write_schema([column(f"c{i}", text, column_id=i + 1) for i, text in enumerate(words)], ())
    assert [c.column_type.type for c in told.data_columns] == list(range(24))


def test_write_schema_round_trips():
    told = write_schema(TABLE.columns, TABLE.partition_columns, primary_key=["id"])
    assert msgspec.json.decode(msgspec.json.encode(told), type=WriteSchema) == told
