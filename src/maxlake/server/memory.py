"""Where the server's memory comes from: few heaps, which all threads share."""

from __future__ import annotations

import ctypes

import pyarrow as pa

#: The numbers of glibc's parameters (``malloc.h``).
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
#: Enough for the threads that allocate at once, which copy outside the heap's lock.
_HEAPS = 2
#: Bytes from which on memory is given back to the system at once. Left alone, the bound grows to 32 MB
#: with use, and the buffers of large uploads stay in the heaps.
_GIVEN_BACK = 4 * 1024 * 1024


def share_heaps() -> None:
    """Let Arrow and Python allocate from the same few heaps. Before the process starts threads.

    Rows are made in whichever worker thread is free and let go in another. pyarrow's allocator, and by
    default glibc's, keep a heap for every thread: each would hold what it once needed. Where the C library is
    not glibc only Arrow's part is done.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_ARENA_MAX, _HEAPS)
        set_option(_M_MMAP_THRESHOLD, _GIVEN_BACK)
