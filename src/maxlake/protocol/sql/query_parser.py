"""How queries are parsed: Hive's grammar, with calls and types left as they are written.

sqlglot knows functions of many systems and rewrites some of them while it parses; here a call is a name and
its arguments until :mod:`.functions` says what it means.
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from sqlglot import exp
from sqlglot.expressions.core import Expression
from sqlglot.parsers.hive import HiveParser
from sqlglot.tokenizer_core import Token, TokenType

_QUERY_STARTS = (TokenType.SELECT, TokenType.WITH, TokenType.VALUES, TokenType.FROM, TokenType.L_PAREN)
_OPENING = (TokenType.LT, TokenType.L_PAREN)
_CLOSING = (TokenType.GT, TokenType.R_PAREN)


class InsertInto(Expression):
    """``INSERT INTO|OVERWRITE TABLE this [PARTITION (...)] [(columns)] expression``."""

    arg_types: ClassVar[dict[str, bool]] = {
        "this": True,
        "expression": True,
        "overwrite": False,
        "partition": False,
        "columns": False,
        "with_": False,
    }


class QueryParser(HiveParser):
    """Parses SELECT, VALUES and INSERT. Raises ParseError for what it does not know."""

    FUNCTIONS: ClassVar = {}
    FUNCTION_PARSERS: ClassVar = {
        "CAST": lambda self: self._parse_typed_cast(),
        "EXTRACT": HiveParser.FUNCTION_PARSERS["EXTRACT"],
        "TRIM": HiveParser.FUNCTION_PARSERS["TRIM"],
    }
    NO_PAREN_FUNCTIONS: ClassVar = {}
    ARRAY_CONSTRUCTORS: ClassVar = {}
    NO_PAREN_FUNCTION_PARSERS: ClassVar = {
        name: HiveParser.NO_PAREN_FUNCTION_PARSERS[name] for name in ("ANY", "CASE", "IF")
    }

    def fail(self, message: str, token: Token) -> NoReturn:
        """Raise ParseError at ``token``."""
        self.raise_error(message, token)
        raise AssertionError("raise_error returned: the parser must run with ErrorLevel.IMMEDIATE")

    def _expect(self, *words: str) -> None:
        if not self._match_text_seq(*words):
            self.raise_error(f"Expecting {' '.join(words)}")

    def _parse_as_command(self, start: Token) -> NoReturn:
        self.fail("Statement or clause not supported", self._curr or start)

    def _parse_whole_query(self) -> exp.Expr:
        """Read a query, as a statement or as what an INSERT or CREATE TABLE takes its rows from."""
        if not self._curr or self._curr.token_type not in _QUERY_STARTS:
            self.fail("Expecting a query", self._curr or self._prev)
        found = self._parse_expression() if self._curr.token_type is TokenType.L_PAREN else None
        query = self._parse_set_operations(found) if found else self._parse_select()
        query = self._parse_query_modifiers(query)
        return query or self.fail("Expecting a query", self._curr or self._prev)

    def _parse_insert_into(self) -> InsertInto:
        overwrite = self._match(TokenType.OVERWRITE)
        if not overwrite:
            self._expect("INTO")
        self._match(TokenType.TABLE)
        table = self._parse_table_parts(schema=True)
        partition = self._parse_target_partition()
        columns: list[Any] = []
        if self._curr and self._curr.token_type is TokenType.L_PAREN and self._names_follow():
            columns = self._parse_wrapped_csv(self._parse_id_var)
        partition = partition or self._parse_target_partition()
        return self.expression(
            InsertInto(
                this=table,
                overwrite=overwrite,
                partition=partition,
                columns=columns,
                expression=self._parse_whole_query(),
            )
        )

    def _names_follow(self) -> bool:
        following = self._next
        return following.token_type not in _QUERY_STARTS

    def _parse_target_partition(self) -> exp.Partition | None:
        """Read ``PARTITION (a='x', b)``: keys with values, and keys whose values the rows have."""
        if not self._match(TokenType.PARTITION):
            return None
        return self.expression(exp.Partition(expressions=self._parse_wrapped_csv(self._parse_assignment)))

    def _parse_typed_cast(self) -> exp.Cast:
        this = self._parse_assignment()
        if not self._match(TokenType.ALIAS):
            self.fail("Expecting AS", self._curr or self._prev)
        return self.expression(exp.Cast(this=this, to=self._parse_written_type()))

    def _parse_written_type(self) -> exp.DataType:
        """Keep a type as it is written: sqlglot's types cannot tell all of ODPS's apart."""
        start = self._curr
        if not start or start.token_type in (TokenType.STRING, TokenType.NUMBER, *_OPENING, *_CLOSING):
            self.fail("Expecting a type", start or self._prev)
        self._advance()
        if self._curr and self._curr.token_type in _OPENING:
            self._skip_brackets()
        text = self._find_sql(start, self._prev)
        return self.expression(exp.DataType(this=exp.DType.USERDEFINED, kind=text))

    def _skip_brackets(self) -> None:
        depth = 0
        while self._curr:
            depth += (self._curr.token_type in _OPENING) - (self._curr.token_type in _CLOSING)
            self._advance()
            if depth == 0:
                return
        self.raise_error("Expecting the end of the type")
