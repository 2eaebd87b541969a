"""Messages of the modes Streaming and StreamingRealtime (wire.md §8.3)."""

from __future__ import annotations

from maxlake.protocol.messages.write import WriteRowsResponse

#: The one session every table has: its rows are visible as soon as they are acknowledged.
STREAMING_SESSION = "default"


class FlushResponse(WriteRowsResponse, frozen=True, kw_only=True):
    """Answer of a streamed TableWrite; ``staging_id`` is the version of the table that has the rows."""

    staging_id: str
