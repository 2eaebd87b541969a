"""What the commands that talk to a service share: whom they talk to, and how they fail."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from cyclopts import Parameter

import maxlake
from maxlake.client.errors import odps_errors
from maxlake.protocol.errors import MaxlakeError

_INTERRUPTED = 130


class _Key(msgspec.Struct):
    access_id: str
    secret: str


_KEY = msgspec.json.Decoder(_Key)


@Parameter(name="*")
@dataclass(frozen=True)
class Connection:
    """Whom to talk to; what is not given comes from the environment, as ``maxlake.connect`` says."""

    project: str | None = None
    "Project; ODPS_PROJECT_NAME if not given."

    endpoint: str | None = None
    "URL of the service, which may end in /api; ODPS_ENDPOINT if not given."

    key_file: Path | None = None
    """File with an access key, as `maxlake serve` makes one (access-key.json); ALIBABA_CLOUD_ACCESS_KEY_ID
    and ALIBABA_CLOUD_ACCESS_KEY_SECRET if not given."""

    def odps(self) -> Any:
        """Return the entry object. Raises ``ValueError`` that names what is missing."""
        if self.key_file is None:
            return maxlake.connect(project=self.project, endpoint=self.endpoint)
        try:
            key = _KEY.decode(self.key_file.read_bytes())
        except msgspec.MsgspecError as error:
            raise ValueError(f"{self.key_file} holds no access key: {error}") from error
        return maxlake.connect(key.access_id, key.secret, self.project, self.endpoint)


ENVIRONMENT = Connection()


@contextmanager
def failing(command: str) -> Generator[None]:
    """Turn what goes wrong into one message and an exit status."""
    try:
        yield
    except (MaxlakeError, odps_errors.BaseODPSError, ValueError, OSError) as error:
        sys.exit(_message(command, str(error), error))
    except KeyboardInterrupt as error:
        sys.stderr.write(_message(command, "interrupted", error) + "\n")
        sys.exit(_INTERRUPTED)


def _message(command: str, what: str, error: BaseException) -> str:
    return "\n".join([f"maxlake {command}: {what}", *getattr(error, "__notes__", ())])


def tell(value: Any) -> None:
    """Write ``value`` as a line of JSON; what JSON has no word for becomes text."""
    sys.stdout.write(msgspec.json.encode(value, enc_hook=str).decode() + "\n")


def say(text: str) -> None:
    """Write a line."""
    sys.stdout.write(text + "\n")
