"""Predicate text to a sqlglot tree, strictly: every token is part of a construct known here.

The tokenizer knows only the keywords of predicates, so any other word is a name. sqlglot's ladder of
binary operators is used as it is; where its parser is lenient (operands, IN, BETWEEN, LIKE, CASE, CAST,
calls) this one is not. All calls come out as ``Anonymous``: sqlglot's own builders rewrite arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NoReturn, TypeVar

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel, TokenError
from sqlglot.expressions.core import Expression
from sqlglot.parser import Parser
from sqlglot.tokenizer_core import Token, TokenType
from sqlglot.tokens import Tokenizer

from maxlake.protocol.limits import MAX_PREDICATE_LENGTH, MAX_PREDICATE_NESTING, MAX_PREDICATE_TOKENS
from maxlake.protocol.predicates.errors import refusal
from maxlake.protocol.predicates.literals import unescape

Item = TypeVar("Item")

#: Words that with a string after them make a literal of that type.
TYPED_LITERALS = ("DATE", "DATETIME", "TIMESTAMP", "TIMESTAMP_NTZ")
#: Letters right behind a number that say its type.
NUMBER_SUFFIXES = ("L", "S", "Y", "BD")

_OPERATORS = {
    "==": TokenType.EQ,
    "!=": TokenType.NEQ,
    "<>": TokenType.NEQ,
    "<=": TokenType.LTE,
    ">=": TokenType.GTE,
    "<=>": TokenType.NULLSAFE_EQ,
    "||": TokenType.DPIPE,
}
_WORDS = {
    "AND": TokenType.AND,
    "OR": TokenType.OR,
    "NOT": TokenType.NOT,
    "IS": TokenType.IS,
    "IN": TokenType.IN,
    "BETWEEN": TokenType.BETWEEN,
    "LIKE": TokenType.LIKE,
    "RLIKE": TokenType.RLIKE,
    "REGEXP": TokenType.RLIKE,
    "ESCAPE": TokenType.ESCAPE,
    "NULL": TokenType.NULL,
    "TRUE": TokenType.TRUE,
    "FALSE": TokenType.FALSE,
    "CASE": TokenType.CASE,
    "WHEN": TokenType.WHEN,
    "THEN": TokenType.THEN,
    "ELSE": TokenType.ELSE,
    "END": TokenType.END,
    "AS": TokenType.ALIAS,
    "DIV": TokenType.DIV,
}


class PredicateTokenizer(Tokenizer):
    """ODPS's tokens, as far as predicates have them."""

    QUOTES: ClassVar = ["'", '"']
    IDENTIFIERS: ClassVar = ["`"]
    STRING_ESCAPES: ClassVar = ["\\"]
    COMMENTS: ClassVar = ["--", ("/*", "*/")]
    SINGLE_TOKENS: ClassVar = {
        "(": TokenType.L_PAREN,
        ")": TokenType.R_PAREN,
        ",": TokenType.COMMA,
        ".": TokenType.DOT,
        "-": TokenType.DASH,
        "+": TokenType.PLUS,
        "*": TokenType.STAR,
        "/": TokenType.SLASH,
        "%": TokenType.MOD,
        "=": TokenType.EQ,
        "<": TokenType.LT,
        ">": TokenType.GT,
        ";": TokenType.SEMICOLON,
        "'": TokenType.UNKNOWN,
        '"': TokenType.UNKNOWN,
        "`": TokenType.UNKNOWN,
        # Only so that names do not run through them; no construct has them.
        "[": TokenType.L_BRACKET,
        "]": TokenType.R_BRACKET,
        "{": TokenType.L_BRACE,
        "}": TokenType.R_BRACE,
        "?": TokenType.PLACEHOLDER,
        "@": TokenType.PARAMETER,
        ":": TokenType.COLON,
        "|": TokenType.PIPE,
        "&": TokenType.AMP,
        "^": TokenType.CARET,
        "~": TokenType.TILDE,
        "!": TokenType.HASH,
        "\\": TokenType.BACKSLASH,
    }
    KEYWORDS: ClassVar = {**_OPERATORS, **_WORDS}
    COMMANDS: ClassVar = set[TokenType]()


class TypedLiteral(Expression):
    """``DATE '…'`` and its like: unlike a CAST, text that is no date is a mistake."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "kind": True}


class SuffixedNumber(Expression):
    """A number whose type a suffix says, such as ``1L``."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "kind": True}


class TextCast(Expression):
    """CAST with the type as text: sqlglot's types cannot tell all of ODPS's apart."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "kind": True}


_COMPARISONS: dict[TokenType, type[exp.Binary]] = {**Parser.EQUALITY, **Parser.COMPARISON}


class PredicateParser(Parser):
    """One condition, and nothing after it."""

    def raise_error(self, message: str, token: Token | None = None) -> NoReturn:  # type: ignore[override]
        """Raise the refusal at ``token``, or where the parser stands."""
        token = token or self._curr
        raise refusal(self.sql, token.start if token else len(self.sql), message)

    def _unexpected(self, wanted: str) -> NoReturn:
        found = repr(self._curr.text[:40]) if self._curr else "the end"
        self.raise_error(f"Expecting {wanted}, not {found}")

    def _expect(self, kind: TokenType, wanted: str) -> None:
        if not self._match(kind):
            self._unexpected(wanted)

    def _parse_statement(self) -> exp.Expr:
        condition = self._condition()
        if self._curr:
            self._unexpected("an operator or the end")
        return condition

    def _condition(self) -> exp.Expr:
        found = self._parse_disjunction()
        assert found is not None  # an operand is found or refused
        return found

    def _operand(self) -> exp.Expr:
        found = self._parse_bitwise()
        assert found is not None  # likewise
        return found

    def _parse_equality(self, parse_is: bool = True) -> exp.Expr:  # noqa: ARG002
        """Read comparisons, all of one precedence."""
        this = self._parse_range()
        while self._match_set(_COMPARISONS):
            kind = _COMPARISONS[self._prev.token_type]
            this = self.expression(kind(this=this, expression=self._parse_range()))
        return this

    def _parse_range(self, this: exp.Expr | None = None, parse_is: bool = False) -> exp.Expr:  # noqa: ARG002
        """Read an operand and what may follow it: IS, IN, BETWEEN, LIKE, RLIKE."""
        this = this or self._operand()
        while self._curr:
            if self._match(TokenType.IS):
                this = self._is(this)
                continue
            negated = self._match(TokenType.NOT)
            if self._match(TokenType.IN):
                this = self._in(this)
            elif self._match(TokenType.BETWEEN):
                low = self._operand()
                self._expect(TokenType.AND, "AND")
                this = self.expression(exp.Between(this=this, low=low, high=self._operand()))
            elif self._match(TokenType.LIKE):
                this = self._like(this)
            elif self._match(TokenType.RLIKE):
                this = self.expression(exp.RegexpLike(this=this, expression=self._operand()))
            elif negated:
                self._unexpected("IN, BETWEEN, LIKE or RLIKE after NOT")
            else:
                break
            this = self.expression(exp.Not(this=this)) if negated else this
        return this

    def _is(self, this: exp.Expr) -> exp.Expr:
        negated = self._match(TokenType.NOT)
        if not self._match_set((TokenType.NULL, TokenType.TRUE, TokenType.FALSE)):
            self._unexpected("NULL, TRUE or FALSE")
        word = self._prev.token_type
        right = exp.Null() if word is TokenType.NULL else exp.Boolean(this=word is TokenType.TRUE)
        found = self.expression(exp.Is(this=this, expression=right))
        return self.expression(exp.Not(this=found)) if negated else found

    def _in(self, this: exp.Expr) -> exp.Expr:
        self._expect(TokenType.L_PAREN, "'('")
        options = self._list(self._operand)
        return self.expression(exp.In(this=this, expressions=options))

    def _list(self, read: Callable[[], Item]) -> list[Item]:
        """Read one or more items and the closing parenthesis."""
        items = [read()]
        while self._match(TokenType.COMMA):
            items.append(read())
        self._expect(TokenType.R_PAREN, "',' or ')'")
        return items

    def _like(self, this: exp.Expr) -> exp.Expr:
        like = self.expression(exp.Like(this=this, expression=self._operand()))
        if not self._match(TokenType.ESCAPE):
            return like
        return self.expression(exp.Escape(this=like, expression=self._operand()))

    def _parse_unary(self) -> exp.Expr:
        if self._match(TokenType.NOT):
            return self.expression(exp.Not(this=self._parse_equality()))
        if self._match(TokenType.DASH):
            return self.expression(exp.Neg(this=self._parse_unary()))
        if self._match(TokenType.PLUS) and not self._at(TokenType.NUMBER, TokenType.DOT):
            self._unexpected("a number after '+'")
        return self._value()

    def _parse_at_time_zone(self, this: exp.Expr | None) -> exp.Expr | None:
        return this

    def _at(self, *kinds: TokenType) -> bool:
        return bool(self._curr) and self._curr.token_type in kinds

    def _value(self) -> exp.Expr:  # noqa: PLR0911 - one per kind of operand
        token = self._curr
        if self._match(TokenType.L_PAREN):
            inner = self._condition()
            self._expect(TokenType.R_PAREN, "')'")
            return self.expression(exp.Paren(this=inner))
        if self._match(TokenType.STRING):
            return self._string(token)
        if self._match_set((TokenType.NUMBER, TokenType.DOT)):
            return self._number(token)
        if self._match(TokenType.NULL):
            return self.expression(exp.Null(), token)
        if self._match_set((TokenType.TRUE, TokenType.FALSE)):
            return self.expression(exp.Boolean(this=token.token_type is TokenType.TRUE), token)
        if self._match(TokenType.CASE):
            return self._case(token)
        if self._match_set((TokenType.VAR, TokenType.IDENTIFIER)):
            return self._named(token)
        return self._unexpected("a value")

    def _string(self, token: Token) -> exp.Expr:
        if self._at(TokenType.STRING):
            self.raise_error("Two strings side by side: write a quote inside a string as \\'")
        # sqlglot has its own idea of escapes, so they are read again here.
        text = unescape(self.sql[token.start + 1 : token.end])
        if "\0" in text:
            self.raise_error("A string holds the character NUL", token)
        return self.expression(exp.Literal.string(text), token)

    def _number(self, token: Token) -> exp.Expr:
        digits = token.text
        if token.token_type is TokenType.DOT:
            if not (self._at(TokenType.NUMBER) and self._is_connected() and self._curr.text[0].isdigit()):
                self._unexpected("a value")
            self._advance()
            digits = f"0.{self._prev.text}"
        number = self.expression(exp.Literal.number(digits), token)
        if self._at(TokenType.VAR) and self._is_connected():
            suffix = self._curr.text.upper()
            if suffix not in NUMBER_SUFFIXES:
                self.raise_error(f"{digits}{self._curr.text[:20]} is no number; a name goes in `back-quotes`")
            self._advance()
            return self.expression(SuffixedNumber(this=number, kind=suffix))
        return number

    def _case(self, token: Token) -> exp.Expr:
        this = None if self._at(TokenType.WHEN) else self._condition()
        branches: list[exp.Expr] = []
        while self._match(TokenType.WHEN):
            condition = self._condition()
            self._expect(TokenType.THEN, "THEN")
            branches.append(self.expression(exp.If(this=condition, true=self._condition())))
        if not branches:
            self._unexpected("WHEN")
        default = self._condition() if self._match(TokenType.ELSE) else None
        self._expect(TokenType.END, "WHEN, ELSE or END")
        return self.expression(exp.Case(this=this, ifs=branches, default=default), token)

    def _named(self, token: Token) -> exp.Expr:
        if token.token_type is TokenType.VAR:
            if self._at(TokenType.STRING) and token.text.upper() in TYPED_LITERALS:
                self._advance()
                text = self._string(self._prev)
                return self.expression(TypedLiteral(this=text, kind=token.text.upper()), token)
            if self._match(TokenType.L_PAREN):
                return self._cast(token) if token.text.upper() == "CAST" else self._call(token)
        name = token.text
        if token.token_type is TokenType.IDENTIFIER:
            name = self.sql[token.start + 1 : token.end].replace("``", "`")
        if self._at(TokenType.DOT, TokenType.L_BRACKET):
            self.raise_error("Names have no qualifier, and members of nested values cannot be compared")
        quoted = token.token_type is TokenType.IDENTIFIER
        return exp.Column(this=self.expression(exp.Identifier(this=name, quoted=quoted), token))

    def _call(self, token: Token) -> exp.Expr:
        arguments = [] if self._match(TokenType.R_PAREN) else self._list(self._condition)
        return self.expression(exp.Anonymous(this=token.text, expressions=arguments), token)

    def _cast(self, token: Token) -> exp.Expr:
        this = self._condition()
        self._expect(TokenType.ALIAS, "AS")
        start, depth = self._curr, 0
        while self._curr and (depth or not self._at(TokenType.R_PAREN)):
            depth += self._at(TokenType.L_PAREN) - self._at(TokenType.R_PAREN)
            self._advance()
        if not (start and self._curr) or start is self._curr:
            self._unexpected("a type and ')'")
        kind = self.sql[start.start : self._prev.end + 1]
        self._advance()
        return self.expression(TextCast(this=this, kind=kind), token)


class OdpsPredicate(Dialect):
    """MaxCompute's conditions."""

    Tokenizer = PredicateTokenizer
    Parser = PredicateParser


def parse_condition(text: str) -> exp.Expr:
    """Read one condition whole.

    Raises BadRequestError InvalidArgument, with the place, for text that is none, has comments, has more
    than ``MAX_PREDICATE_LENGTH`` characters or ``MAX_PREDICATE_TOKENS`` tokens, or nests deeper than
    ``MAX_PREDICATE_NESTING``.
    """
    if len(text) > MAX_PREDICATE_LENGTH:
        raise refusal(text, 0, f"The predicate is longer than {MAX_PREDICATE_LENGTH} characters")
    dialect: Any = OdpsPredicate()
    try:
        tokens: list[Token] = dialect.tokenize(text)
    except TokenError as error:
        raise refusal(text, len(text), "A string, quoted name or comment is not closed") from error
    _check_tokens(text, tokens)
    trees = dialect.parser(error_level=ErrorLevel.IMMEDIATE).parse(tokens, text)
    if len(trees) != 1:  # sqlglot takes a leading ELSE for the end of a block before it
        raise refusal(text, tokens[0].start, f"Expecting a value, not {tokens[0].text[:40]!r}")
    return trees[0]


_BREAKS = frozenset((TokenType.AND, TokenType.OR, TokenType.COMMA, TokenType.WHEN, TokenType.THEN))
_ARITHMETIC = frozenset((*PredicateParser.TERM, *PredicateParser.FACTOR, TokenType.DPIPE, TokenType.NOT))


def _check_tokens(text: str, tokens: list[Token]) -> None:
    """Bound how large and deep the tree will be before anything recurses into it."""
    if not tokens:
        raise refusal(text, 0, "Expecting a condition")
    if len(tokens) > MAX_PREDICATE_TOKENS:
        message = f"The predicate has more than {MAX_PREDICATE_TOKENS} words, values and signs"
        raise refusal(text, tokens[MAX_PREDICATE_TOKENS].start, message)
    depth = chain = 0
    chains: list[int] = []
    for token in tokens:
        kind = token.token_type
        if token.comments:
            raise refusal(text, token.start, "Comments are not part of a predicate")
        if kind is TokenType.SEMICOLON:
            raise refusal(text, token.start, "A predicate is one condition, without ';'")
        if kind in (TokenType.L_PAREN, TokenType.CASE):
            chains.append(chain)
            depth += chain + 1
            chain = 0
        elif kind in (TokenType.R_PAREN, TokenType.END):
            chain = chains.pop() if chains else 0
            depth -= min(depth, chain + 1)
        elif kind in _BREAKS:
            chain = 0
        elif kind in _ARITHMETIC:
            chain += 1
        if depth + chain > MAX_PREDICATE_NESTING:
            raise refusal(
                text,
                token.start,
                f"More than {MAX_PREDICATE_NESTING} operators, calls, CASEs and parentheses in one another",
            )
