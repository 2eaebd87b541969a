"""References to blobs: opaque to clients, self-contained to the service, and never forged (wire.md §11.3).

A reference is text: a fixed prefix, the format's version, the project, the object that holds the blob, where
in there it lies and what it is, and a MAC over all of that. On the wire it is base64 of this text; a table's
cell holds the text itself. No base64 has a colon, so the two cannot be confused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import msgspec

from maxlake.protocol.limits import MAX_BLOB_REFERENCE

_PREFIX = "maxlake-blob:1:"
#: What every reference in its decoded form begins with.
DECODED_PREFIX = _PREFIX.encode()
#: The place of the object among the parts between colons.
OBJECT_PART = 3
_PARTS = 6
#: Bytes of a MAC: an attacker has one guess a request, and 2**128 to make.
_MAC_BYTES = 16
#: Bytes of a key.
KEY_BYTES = 32


class BlobLocation(msgspec.Struct, frozen=True, array_like=True):
    """Where a blob lies: an object (the name of a file), a range of its bytes, and the CRC32C of these."""

    object_name: str
    offset: int
    length: int
    crc32c: int


class BlobReference(msgspec.Struct, frozen=True, kw_only=True):
    """A blob, and the table it was uploaded to. No name has a colon."""

    project: str
    table_id: int
    location: BlobLocation
    mime_type: str | None = None
    file_name: str | None = None


class _Details(msgspec.Struct, frozen=True, array_like=True):
    """What stands in a reference beside the names of project and object."""

    table_id: int
    offset: int
    length: int
    crc32c: int
    mime_type: str | None
    file_name: str | None


# Made before threads are: msgspec crashes where two make the decoder of a type at once.
_DETAILS = msgspec.msgpack.Decoder(_Details)


def seal(reference: BlobReference, key: bytes) -> str:
    """Return a reference as text, signed with the project's key."""
    place = reference.location
    details = _Details(
        reference.table_id,
        place.offset,
        place.length,
        place.crc32c,
        reference.mime_type,
        reference.file_name,
    )
    packed = _text(msgspec.msgpack.encode(details))
    body = f"{_PREFIX}{reference.project}:{place.object_name}:{packed}"
    return f"{body}:{_mac(body, key)}"


def project_of(text: str) -> str | None:
    """Return the project a reference says it is of; None for what is no reference. Nothing is verified."""
    parts = text.split(":")
    return parts[2] if text.startswith(_PREFIX) and len(parts) == _PARTS else None


def unseal(text: str, key: bytes) -> BlobReference | None:
    """Return what a reference says; None unless it was made with ``key``."""
    body, _, mac = text.rpartition(":")
    project = project_of(text)
    if project is None or not hmac.compare_digest(_mac(body, key).encode(), mac.encode()):
        return None
    *_, object_name, packed = body.split(":")
    details = _DETAILS.decode(base64.urlsafe_b64decode(packed + "=="))
    return BlobReference(
        project=project,
        table_id=details.table_id,
        location=BlobLocation(object_name, details.offset, details.length, details.crc32c),
        mime_type=details.mime_type,
        file_name=details.file_name,
    )


def encoded(text: str) -> str:
    """Return a reference as it goes over the wire: in base64."""
    return base64.b64encode(text.encode()).decode()


def decoded(value: str) -> str | None:
    """Return the text of a reference in either form; None for what can be neither."""
    if len(value) > 2 * MAX_BLOB_REFERENCE:
        return None
    text = value
    if not value.startswith(_PREFIX):
        try:
            text = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError):
            return None
    # What is not printable (half a surrogate pair, say) has no bytes to sign.
    plausible = text.startswith(_PREFIX) and len(text) <= MAX_BLOB_REFERENCE and text.isprintable()
    return text if plausible else None


def _mac(body: str, key: bytes) -> str:
    return _text(hmac.digest(key, body.encode(), hashlib.sha256)[:_MAC_BYTES])


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
