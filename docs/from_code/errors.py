"""Every error: its code, what it means, and the classes by which clients can catch it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec
from sphinx.pycode import ModuleAnalyzer

from from_code.markdown import code, table, without_sources
from maxlake.client import errors as client_errors
from maxlake.client.errors import ClientError, error_from_answer
from maxlake.protocol import errors as protocol_errors
from maxlake.protocol.errors import HTTP_STATUS, ErrorCode, MaxlakeError

E = TypeVar("E", bound=MaxlakeError)


def codes_table() -> str:
    """Return the table of the service's codes."""
    return table(("Code", "HTTP", "It means", "Raised as"), map(_row, ErrorCode))


def groups_table() -> str:
    """Return the table of the groups of errors: what a caller can do."""
    groups = [each for each in _below(MaxlakeError) if not issubclass(each, ClientError)]
    header = ("Class", "What happened, and what to do", "Can a retry help?")
    return table(header, ([code(each.__name__), _meaning(each), _retry(each)] for each in groups))


def client_table() -> str:
    """Return the table of the errors that come from the client itself."""
    own = [each for each in _below(ClientError) if each.service_group is None]
    header = ("Class", "It means", "In `odps.errors`", "Can a retry help?")
    rows = (
        [code(each.__name__), _meaning(each), code(each.odps_class.__name__), _retry(each)] for each in own
    )
    return table(header, rows)


def meanings() -> dict[ErrorCode, str]:
    """Return what the comments of ``ErrorCode`` say about each of its members that has one."""
    analyzer = ModuleAnalyzer.for_module(protocol_errors.__name__)
    comments = analyzer.find_attr_docs()
    named = {name: " ".join(lines) for (owner, name), lines in comments.items() if owner == "ErrorCode"}
    return {ErrorCode[name]: without_sources(text).strip() for name, text in named.items()}


def raised(of: ErrorCode) -> ClientError:
    """Return the error that the client raises when the service answers with this code."""
    body = msgspec.json.encode({"Code": of.value, "Message": "", "RequestId": "", "HostId": ""})
    return error_from_answer(HTTP_STATUS[of], {}, body, "")


def _row(of: ErrorCode) -> list[str]:
    error = raised(of)
    group = error.service_group
    assert group
    classes = f"{code(error.odps_class.__name__)}, {code(group.__name__)}"
    return [code(of.value), str(HTTP_STATUS[of]), meanings()[of], classes]


def _meaning(kind: type[Exception]) -> str:
    return without_sources((kind.__doc__ or "").split("\n\n")[0])


def _retry(kind: type[MaxlakeError]) -> str:
    return "yes" if kind.retryable else "no"


def _below(kind: type[E]) -> Iterator[type[E]]:
    for each in kind.__subclasses__():
        if each.__module__ in (protocol_errors.__name__, client_errors.__name__):
            yield each
        yield from _below(each)
