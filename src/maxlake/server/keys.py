"""The server's access key: from the environment, or a pair made once under ROOT."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

ACCESS_ID_VARIABLE = "MAXLAKE_ACCESS_ID"
SECRET_VARIABLE = "MAXLAKE_ACCESS_SECRET"  # noqa: S105 - a variable's name
KEY_FILE = "access-key.json"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access id and its secret."""

    access_id: str
    secret: str = field(repr=False)

    def find_secret(self, access_id: str) -> str | None:
        """Return the secret of ``access_id``, None if it is unknown."""
        return self.secret if access_id == self.access_id else None


_STORED = msgspec.json.Decoder(AccessKey)


def access_key(root: Path, environment: Mapping[str, str]) -> AccessKey:
    """Return the key to serve with: of the environment if set, else ROOT's own, made on first use.

    Raises ValueError if only one of the two variables is set, or if ROOT's file is not a key or open
    to others.
    """
    access_id, secret = environment.get(ACCESS_ID_VARIABLE), environment.get(SECRET_VARIABLE)
    if access_id and secret:
        return AccessKey(access_id, secret)
    if access_id or secret:
        raise ValueError(f"set both {ACCESS_ID_VARIABLE} and {SECRET_VARIABLE}, or neither")
    return stored_key(root)


def stored_key(root: Path) -> AccessKey:
    """Return ROOT's key, made now if there is none; of processes that start together one makes it."""
    path = root / KEY_FILE
    if not path.exists():
        _create(path)
    if path.stat().st_mode & 0o077:
        raise ValueError(f"others may read {path}: take their rights away with chmod 600")
    try:
        key = _STORED.decode(path.read_bytes())
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path} holds no access key: {error}") from error
    if not key.access_id or not key.secret:
        raise ValueError(f"{path} holds an empty access key")
    return key


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    key = AccessKey(f"ml{secrets.token_hex(8)}", secrets.token_urlsafe(24))
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(key))
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return  # another process was first: its key counts
    finally:
        draft.unlink()
