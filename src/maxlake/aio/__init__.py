"""The client for coroutines: the same names, to be awaited.

Each call runs in a thread, so your event loop is never held up. The transport is the client's own, with all
that survives failures, and reads three times as fast as aiohttp (docs/design.md §2).
"""

from maxlake.aio.client import StorageApiArrowClient
from maxlake.aio.streams import (
    AsyncArrowReader,
    AsyncBlobReader,
    AsyncItems,
    AsyncStreamReader,
    AsyncWriter,
)
from maxlake.aio.tables import AsyncRows, read, write
from maxlake.client.oneline.connect import connect

__all__ = [
    "AsyncArrowReader",
    "AsyncBlobReader",
    "AsyncItems",
    "AsyncRows",
    "AsyncStreamReader",
    "AsyncWriter",
    "StorageApiArrowClient",
    "connect",
    "read",
    "write",
]
