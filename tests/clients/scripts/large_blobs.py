"""One blob that nobody should hold whole, written and read in pieces."""

import hashlib

PIECE = 1024 * 1024
SIZE = 300 * PIECE


def pieces():
    """`SIZE` bytes, no two pieces alike."""
    for number in range(SIZE // PIECE):
        yield number.to_bytes(8, "little") * (PIECE // 8)


def digest(chunks):
    found, size = hashlib.sha256(), 0
    for chunk in chunks:
        found.update(chunk)
        size += len(chunk)
    return size, found.hexdigest()


class PiecesFile:
    """A file to upload from, which cannot seek back and knows its length."""

    def __init__(self):
        self._pieces = pieces()
        self._rest = b""

    def __len__(self):
        return SIZE

    def read(self, size=-1):
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken
