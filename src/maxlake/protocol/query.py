"""The query of a request, read so that it means one thing only.

The string clients sign is decoded, and so ambiguous where names hold ``&`` or ``=``, where a name is
repeated, and where a value looks as if it went on with another parameter (design.md §9): such requests are
refused whatever their signature.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from maxlake.protocol.errors import invalid_argument
from maxlake.protocol.limits import MAX_QUERY_PARAMETERS

#: Every parameter the service reads. A value that goes on with another name is only a value: PyODPS signs
#: ``pt='a&x=1'`` as if ``x`` were a parameter.
SERVED_PARAMETERS = frozenset(
    {
        *(
            "Action",
            "Target",
            "SessionId",
            "session_refresh",
            "Index",
            "Offset",
            "Count",
            "Limit",
            "Partition",
        ),
        *("WriteMode", "StreamId", "StreamVersion", "ExactlyOnceMode", "RowOffset"),
        *("Mode", "ColumnIndex", "PartitionValues"),
        *("TableId", "SchemaVersion", "BlockNumber", "AttemptNumber", "enableQuotaToken"),
        *("curr_project", "curr_schema", "name", "marker", "maxitems", "data", "extended"),
        *("partition", "partitions", "source", "result", "taskstatus", "status", "daterange"),
        *("linenum", "cols", "schema_name", "uploads", "uploadid", "blockid", "overwrite"),
        *("create_partition", "downloads", "downloadid", "rowrange", "columns", "arrow"),
        *("upsertid", "bucketid", "dynamic_partition"),
    }
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_OR_SEPARATOR = re.compile(r"[\x00-\x1f\x7f-\x9f&=]")


def parse_query(raw: str) -> dict[str, str]:
    """Decode the query of a URL, as it was on the wire, once; an absent value is the empty text.

    Raises InvalidArgument for more than ``MAX_QUERY_PARAMETERS``, a repeated or empty name, names
    with ``&``, ``=`` or control characters, values with control characters or with what would be a served
    parameter, and bytes not UTF-8.
    """
    pieces = [piece for piece in raw.split("&") if piece]
    if len(pieces) > MAX_QUERY_PARAMETERS:
        raise invalid_argument(f"The query has more than {MAX_QUERY_PARAMETERS} parameters")
    parameters: dict[str, str] = {}
    for piece in pieces:
        name, _, value = piece.partition("=")
        try:
            name, value = unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")
        except UnicodeDecodeError as error:
            raise invalid_argument(f"A query parameter is not UTF-8: {piece[:64]!r}") from error
        if not name or _CONTROL_OR_SEPARATOR.search(name):
            raise invalid_argument(f"Not a query parameter name: {name[:64]!r}")
        if _CONTROL.search(value):
            raise invalid_argument(f"Query parameter {name!r} has control characters in its value")
        for part in unquote_plus(value).split("&")[1:]:
            if (hidden := part.partition("=")[0]) in SERVED_PARAMETERS:
                raise invalid_argument(
                    f"Query parameter {name!r} holds the parameter {hidden!r} in its value"
                )
        if name in parameters:
            raise invalid_argument(f"Query parameter {name!r} is given twice")
        parameters[name] = value
    return parameters
