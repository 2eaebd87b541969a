"""Refusing a predicate: always InvalidArgument, always with the place in the text."""

from __future__ import annotations

from maxlake.protocol.errors import BadRequestError, invalid_argument


def refusal(text: str, offset: int, message: str) -> BadRequestError:
    """Return the error for what stands at ``offset`` of a predicate; lines and columns count from 1."""
    before = text[: max(0, offset)]
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return invalid_argument(message, where=f"filter_predicate, line {line}, column {column}")


class Mistake(Exception):  # noqa: N818 - it never leaves the package: a place is added on the way out
    """Something wrong with an expression, found where its place in the text is not known."""
