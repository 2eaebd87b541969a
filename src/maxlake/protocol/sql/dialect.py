"""The sqlglot dialect ``odps``: Hive's, with what MaxCompute's DDL has besides.

Where sqlglot would fall back to an opaque ``Command``, and where its parsers take a clause for granted,
this one raises ParseError: nothing it returns is half understood.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NoReturn, TypeVar

from sqlglot import exp
from sqlglot.dialects.hive import Hive
from sqlglot.tokenizer_core import TokenType

from maxlake.protocol.sql import nodes
from maxlake.protocol.sql.query_parser import QueryParser

Item = TypeVar("Item")


#: The types of literals: ``date'2020-01-01'``.
_LITERALS = (TokenType.DATE, TokenType.DATETIME, TokenType.TIMESTAMP, TokenType.TIMESTAMPNTZ)


class OdpsParser(QueryParser):
    """The parser of queries with DDL: LIFECYCLE, several partitions in ADD, and types kept as text."""

    # Only these: a clause that is not among them must not be taken for a property.
    PROPERTY_PARSERS: ClassVar = {
        "CLUSTERED": lambda self: self._parse_clustered_by(),
        "COMMENT": lambda self: self.expression(exp.SchemaCommentProperty(this=self._parse_string())),
        "LIFECYCLE": lambda self: self._parse_lifecycle(),
        "PARTITIONED BY": lambda self: self.expression(exp.PartitionedByProperty(this=self._parse_schema())),
        "TBLPROPERTIES": lambda self: self._parse_table_properties(),
    }

    ALTER_PARSERS: ClassVar = {
        "ADD": lambda self: self._parse_alter_table_add(),
        "CHANGE": lambda self: self._parse_alter_table_change(),
        "CHANGEOWNER": lambda self: self._parse_change_owner(),
        "CLUSTERED": lambda self: self._refuse_clustering(),
        "DROP": lambda self: self._parse_alter_table_drop(),
        "NOT": lambda self: self._refuse_clustering(),
        "PARTITION": lambda self: self._parse_rename_partition(),
        "RANGE": lambda self: self._refuse_clustering(),
        "RENAME": lambda self: self._parse_rename(),
        "SET": lambda self: self._parse_alter_table_set(),
        "TOUCH": lambda self: self.expression(nodes.Touch(partition=self._parse_partition())),
    }

    # An action on a partition begins with it.
    ALTER_TABLE_PARTITIONS = False

    STATEMENTS: ClassVar = {
        TokenType.CREATE: lambda self: self._parse_create(),
        TokenType.DROP: lambda self: self._parse_drop(),
        TokenType.ALTER: lambda self: self._parse_alter(),
        TokenType.INSERT: lambda self: self._parse_insert_into(),
        TokenType.UPDATE: lambda self: self._parse_update(),
        TokenType.DELETE: lambda self: self._parse_delete(),
        TokenType.MERGE: lambda self: self._parse_merge(),
        TokenType.TRUNCATE: lambda self: self._parse_truncate(),
        TokenType.DESCRIBE: lambda self: self._parse_describe_table(),
        TokenType.DESC: lambda self: self._parse_describe_table(),
        TokenType.SHOW: lambda self: self._parse_shown(),
        TokenType.SET: lambda self: self._parse_setting(),
    }

    def _parse_statement(self) -> exp.Expr | None:
        if not self._curr:
            return None
        parse = self.STATEMENTS.get(self._curr.token_type)
        if parse is None:
            return self._parse_whole_query()
        self._advance()
        return parse(self)

    def _parse_create(self) -> exp.Create:
        """Read CREATE TABLE and CREATE SCHEMA; sqlglot's own parser skips words without a trace."""
        kind = self._parse_kind()
        exists = self._parse_exists(not_=True)
        name = self._parse_table_parts(schema=True, is_db_reference=kind == "SCHEMA")
        this = self._parse_schema(this=name) if kind == "TABLE" else name
        like = (
            self._parse_table_parts(schema=True) if kind == "TABLE" and self._match(TokenType.LIKE) else None
        )
        properties = self._parse_properties()
        query = self._parse_whole_query() if kind == "TABLE" and self._match(TokenType.ALIAS) else None
        self._expect_end()
        return self.expression(
            exp.Create(
                this=this, kind=kind, exists=exists, properties=properties, expression=query, clone=like
            )
        )

    def _parse_drop(self, exists: bool = False, kind: str | None = None) -> exp.Drop:
        """Read DROP TABLE and DROP SCHEMA, of one name."""
        kind = kind or self._parse_kind()
        exists = exists or bool(self._parse_exists())
        name = self._parse_table_parts(schema=True, is_db_reference=kind == "SCHEMA")
        self._expect_end()
        return self.expression(exp.Drop(tables=[name], kind=kind, exists=exists))

    def _parse_truncate(self) -> nodes.Truncate:
        self._match(TokenType.TABLE)
        table = self._parse_table_parts(schema=True)
        partitions: list[exp.Expr] = []
        while partition := self._parse_partition():
            partitions.append(partition)
            self._match(TokenType.COMMA)
        return self.expression(nodes.Truncate(this=table, expressions=partitions))

    def _parse_describe_table(self) -> nodes.DescribeTable:
        extended = self._match_text_seq("EXTENDED")
        table = self._parse_table_parts(schema=True)
        return self.expression(
            nodes.DescribeTable(this=table, partition=self._parse_partition(), extended=extended)
        )

    def _parse_shown(self) -> nodes.Show:
        for words in (("TABLES",), ("SCHEMAS",), ("PARTITIONS",), ("CREATE", "TABLE")):
            if self._match_text_seq(*words):
                break
        else:
            self.fail("Expecting TABLES, SCHEMAS, PARTITIONS or CREATE TABLE", self._curr or self._prev)
        table = partition = schema = pattern = None
        if words[0] in ("PARTITIONS", "CREATE"):
            table = self._parse_table_parts(schema=True)
            partition = self._parse_partition() if words[0] == "PARTITIONS" else None
        elif words[0] == "TABLES":
            if self._match(TokenType.IN):
                schema = self._parse_name_part()
            if self._match(TokenType.LIKE):
                pattern = self._parse_string() or self.fail("Expecting a pattern", self._curr or self._prev)
        return self.expression(
            nodes.Show(what=words[0].lower(), this=table, partition=partition, db=schema, pattern=pattern)
        )

    def _parse_setting(self) -> nodes.Setting:
        """Read ``SET name=value``, the value being what stands before the semicolon."""
        start = self._curr
        if not start:
            self.fail("Expecting a setting", self._prev)
        while self._curr:
            self._advance()
        name, equals, value = self._find_sql(start, self._prev).partition("=")
        if not equals:
            self.fail("Expecting name=value", start)
        name, value = (exp.Literal.string(text.strip()) for text in (name, value))
        return self.expression(nodes.Setting(this=name, expression=value))

    def _parse_kind(self) -> str:
        if not self._match_set((TokenType.TABLE, TokenType.SCHEMA)):
            self.fail("Expecting TABLE or SCHEMA", self._curr or self._prev)
        return "SCHEMA" if self._prev.token_type is TokenType.SCHEMA else "TABLE"

    def _expect_end(self) -> None:
        if self._curr:
            self.fail("Clause not supported", self._curr)

    def _parse_table_parts(
        self,
        schema: bool = False,
        is_db_reference: bool = False,
        wildcard: bool = False,
        fast: bool = False,
    ) -> exp.Table | exp.Dot | None:
        """Read the name a DDL statement is about, part by part: sqlglot's own skips stray dots."""
        if not schema:
            return super()._parse_table_parts(is_db_reference=is_db_reference, wildcard=wildcard, fast=fast)
        parts = [self._parse_name_part()]
        while self._match(TokenType.DOT):
            parts.insert(0, self._parse_name_part())
        kinds = ("db", "catalog") if is_db_reference else ("this", "db", "catalog")
        if len(parts) > len(kinds):
            self.raise_error(f"A name has at most {len(kinds)} parts here", self._prev)
        return self.expression(exp.Table(**dict(zip(kinds, parts, strict=False))))

    def _parse_name_part(self) -> exp.Expr:
        part = self._parse_id_var(any_token=False)
        if part is None:
            self.fail("Expecting a name", self._curr or self._prev)
        return part

    def _parse_csv(
        self, parse_method: Callable[[], Item | None], sep: TokenType = TokenType.COMMA
    ) -> list[Item]:
        """Read a list, perhaps empty; sqlglot's own skips empty places in it."""
        first = parse_method()
        items = [] if first is None else [first]
        while self._match(sep):
            item = parse_method()
            if first is None or item is None:
                self.fail("Unexpected separator", self._prev)
            items.append(item)
        return items

    def _parse_properties(self, before: bool | None = None) -> exp.Properties | None:  # noqa: ARG002
        """Read clauses one after the other; sqlglot's own allows commas between them."""
        clauses: list[exp.Expr] = []
        while found := self._parse_property():
            clauses += found if isinstance(found, list) else [found]
        return self.expression(exp.Properties(expressions=clauses)) if clauses else None

    def _parse_property(self) -> exp.Expr | list[exp.Expr] | None:
        if self._match_texts(self.PROPERTY_PARSERS):
            return self.PROPERTY_PARSERS[self._prev.text.upper()](self)
        return None

    def _parse_table_properties(self) -> list[exp.Expr]:
        return self._parse_wrapped_csv(self._parse_table_property)

    def _parse_table_property(self) -> exp.Property:
        name = self._parse_string()
        if not self._match(TokenType.EQ):
            self.raise_error("Expecting =")
        return self.expression(exp.Property(this=name, value=self._parse_string()))

    def _parse_lifecycle(self) -> nodes.LifecycleProperty:
        days = self._parse_number()
        if days is None:
            self.raise_error("Expecting a number of days")
        return self.expression(nodes.LifecycleProperty(this=days))

    def _parse_types(
        self,
        check_func: bool = False,
        schema: bool = False,
        allow_identifiers: bool = True,
        with_collation: bool = False,
    ) -> exp.Expr | None:
        """Keep a column's type as written: sqlglot's types cannot tell all of ODPS's apart.

        Where a value may stand, only the type of a literal is one: ``array(1)[0]`` is a call.
        """
        if check_func and not (self._curr and self._curr.token_type in _LITERALS and self._string_follows()):
            return None
        if not schema:
            return super()._parse_types(
                check_func=check_func, allow_identifiers=allow_identifiers, with_collation=with_collation
            )
        if not self._curr or self._curr.token_type is TokenType.STRING or not self._curr.text[0].isalpha():
            return None
        return self._parse_written_type()

    def _string_follows(self) -> bool:
        return bool(self._next) and self._next.token_type is TokenType.STRING

    def _parse_clustered_by(self) -> exp.ClusteredByProperty:
        self._expect("BY")
        columns = self._parse_wrapped_csv(self._parse_column)
        ordered = (
            self._parse_wrapped_csv(self._parse_ordered) if self._match_text_seq("SORTED", "BY") else None
        )
        self._expect("INTO")
        buckets = self._parse_number()
        self._expect("BUCKETS")
        return self.expression(
            exp.ClusteredByProperty(expressions=columns, sorted_by=ordered, buckets=buckets)
        )

    def _parse_alter_table_add(self) -> list[exp.Expr]:
        if self._match_texts(("COLUMN", "COLUMNS")):
            exists = self._parse_exists(not_=True)
            return [self.expression(nodes.AddColumns(this=self._parse_added_columns(), exists=exists))]
        exists = self._parse_exists(not_=True)
        partitions: list[exp.Expr] = []
        while self._match(TokenType.PARTITION, advance=False):
            partition = self._parse_partition()
            partitions.append(self.expression(exp.AddPartition(this=partition, exists=exists)))
        if not partitions:
            self.raise_error("Expecting COLUMNS or PARTITION")
        return partitions

    def _parse_added_columns(self) -> exp.Expr | None:
        """Read a list of columns in parentheses, or one column without."""
        if self._match(TokenType.L_PAREN, advance=False):
            return self._parse_schema()
        return self.expression(exp.Schema(expressions=[self._parse_definition()]))

    def _parse_definition(self) -> exp.Expr:
        definition = self._parse_column_def(self._parse_column_name())
        if not isinstance(definition, exp.ColumnDef):
            self.fail("Expecting the type of the column", self._curr or self._prev)
        return definition

    def _parse_column_name(self) -> exp.Expr:
        """Read the name of a column; PyODPS writes even those without quotes that are words of SQL."""
        token = self._curr or self._prev
        if token.token_type in (TokenType.STRING, TokenType.NUMBER):
            self.fail("Expecting the name of a column", token)
        return self._parse_id_var() or self.fail("Expecting the name of a column", token)

    def _parse_alter_table_drop(self) -> list[exp.Expr]:
        if self._match_texts(("COLUMN", "COLUMNS")):
            names = self._parse_wrapped_csv(self._parse_column_name, optional=True)
            return [self.expression(nodes.DropColumns(expressions=names))]
        exists = self._parse_exists()
        if not self._match(TokenType.PARTITION, advance=False):
            self.fail("Expecting COLUMNS or PARTITION", self._curr or self._prev)
        return [self._parse_drop_partition(exists=exists)]

    def _parse_alter_table_change(self) -> nodes.ChangeColumn:
        self._match(TokenType.COLUMN)
        name = self._parse_column_name()
        if self._match_text_seq("RENAME", "TO"):
            return self.expression(nodes.ChangeColumn(this=name, to=self._parse_column_name()))
        if self._next and self._next.token_type is TokenType.STRING and self._match(TokenType.COMMENT):
            return self.expression(nodes.ChangeColumn(this=name, comment=self._parse_string()))
        if self._match(TokenType.NULL):
            return self.expression(nodes.ChangeColumn(this=name, allow_null=True))
        return self.expression(nodes.ChangeColumn(this=name, definition=self._parse_definition()))

    def _parse_change_owner(self) -> nodes.ChangeOwner:
        self._expect("TO")
        return self.expression(nodes.ChangeOwner(this=self._parse_string()))

    def _parse_rename(self) -> exp.AlterRename | nodes.ChangeColumn:
        if self._match(TokenType.COLUMN):
            name = self._parse_column_name()
            self._expect("TO")
            return self.expression(nodes.ChangeColumn(this=name, to=self._parse_column_name()))
        self._expect("TO")
        return self.expression(exp.AlterRename(this=self._parse_table_parts(schema=True)))

    def _parse_rename_partition(self) -> nodes.RenamePartition:
        self._retreat(self._index - 1)
        old = self._parse_partition()
        self._expect("RENAME", "TO")
        return self.expression(nodes.RenamePartition(this=old, to=self._parse_partition()))

    def _refuse_clustering(self) -> NoReturn:
        self.fail(
            "The clustering of a table stays: its files lie in buckets. Create another table CLUSTERED BY "
            "what is wanted, and INSERT the rows",
            self._prev,
        )


class Odps(Hive):
    """MaxCompute SQL."""

    class Tokenizer(Hive.Tokenizer):
        """Hive's, where SHOW does not swallow the rest of the statement."""

        COMMANDS: ClassVar = Hive.Tokenizer.COMMANDS - {TokenType.SHOW}

    Parser = OdpsParser
