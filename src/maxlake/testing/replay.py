"""``replay()``: recorded traffic as a service, for tests without one."""

from __future__ import annotations

import re
from contextlib import contextmanager
from itertools import takewhile
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from maxlake.testing.entry import entry
from maxlake.testing.listener import Answer, Listener, Request, json_answer
from maxlake.testing.recording import HOST, Exchange, RecordedAnswer, read_recording
from maxlake.testing.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

#: What differs from run to run in bodies that are not JSON: ids made for one call, versions of the client.
_FRESH = re.compile(
    rb"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|\b[0-9a-f]{32}\b"
    rb'|(?<="PYODPS_VERSION": ")[^"]*|(?<="PYODPS_PYTHON_VERSION": ")[^"]*'
)
_JSON = msgspec.json.Decoder()
#: Bytes of a body that an error shows.
_SHOWN = 500


class NotRecordedError(AssertionError):
    """Calls were made that the recording has no answer to; the message names each, and what was recorded."""


#: Method, path and parameters of the decoded query, sorted; what tells calls apart beside their body.
Head = tuple[str, ...]


def head_of(method: str, target: str) -> Head:
    """Return the head of a call."""
    url = urlsplit(target)
    query = sorted(parse_qsl(url.query, keep_blank_values=True))
    return (method, url.path, *(f"{name}={value}" for name, value in query))


def content_of(body: bytes) -> bytes:
    """Return what counts of a body: of JSON not the order, of other texts no ids made for one call."""
    try:
        return msgspec.json.encode(_JSON.decode(body), order="sorted")
    except msgspec.MsgspecError:
        return _FRESH.sub(b"", body)


class Replay:
    """Recorded answers as a service. Made by ``replay``."""

    def __init__(self, path: str, exchanges: Sequence[Exchange]) -> None:
        self._lock = Lock()
        #: The answers to a call, in their order; None for a body of rows that was left out.
        self._answers: dict[tuple[Head, bytes | None], list[RecordedAnswer]] = {}
        for asked, answer in ((each.request, each.response) for each in exchanges):
            content = content_of(asked.content) if asked.rows_left_out is None else None
            self._answers.setdefault((head_of(asked.method, asked.target), content), []).append(answer)
        self._unanswered: list[str] = []
        self._listener = Listener(self._answer)
        self._redaction = Redaction([self._listener.address])
        #: Where clients reach it, with any access key.
        self.endpoint = f"http://{self._listener.address}{path}"

    def odps(self, project: str, **options: Any) -> Any:
        """Return a PyODPS entry object for this service; ``options`` go to ``odps.ODPS``."""
        return entry("any-id", "any-secret", project, self.endpoint, **options)

    @contextmanager
    def running(self) -> Generator[Replay]:
        """Accept requests within the ``with``; its end raises NotRecordedError if there is cause to."""
        with self._listener.running():
            try:
                yield self
            except BaseException as error:
                if self._unanswered:
                    error.add_note(self._complaint())
                raise
        if self._unanswered:
            raise NotRecordedError(self._complaint())

    def _complaint(self) -> str:
        return "\n".join(["the recording has no answer to:", *self._unanswered])

    def _answer(self, request: Request) -> Answer:
        if request.path.endswith("/logs") and request.method == "PUT":  # telemetry, sent when it likes
            return Answer(200, (), b"")
        self._redaction.learn(request.headers)
        head = head_of(request.method, self._redaction.text(request.target))
        content = content_of(self._redaction.body(request.body))
        with self._lock:
            answers = self._answers.get((head, content)) or self._answers.get((head, None))
            if answers is not None:
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if answer.rows_left_out is None:
                    return self._as_here(answer)
                return self._refuse(f"{' '.join(head)}: its rows were left out of the recording")
            return self._refuse(self._difference(head, content))

    def _as_here(self, answer: RecordedAnswer) -> Answer:
        """Return an answer that leads to this service where the recorded one led to its own."""
        here = self._listener.address
        headers = tuple((name, value.replace(HOST, here)) for name, value in answer.headers)
        body = answer.content if answer.body is None else answer.body.replace(HOST, here).encode()
        return Answer(answer.status, headers, body)

    def _refuse(self, what: str) -> Answer:
        self._unanswered.append(what)
        return json_answer({"Code": "NotRecorded", "Message": what, "RequestId": "", "HostId": ""}, 400)

    def _difference(self, head: Head, content: bytes) -> str:
        """Say what was asked, and how it differs from what was recorded of its kind."""
        asked = f"{' '.join(head)} with {_shown(content)}"
        bodies = [_shown(known) for there, known in self._answers if there == head and known is not None]
        if bodies:
            return f"{asked}; recorded is {' and '.join(bodies)}"
        alike = max(
            (there for there, _ in self._answers), key=lambda there: _likeness(head, there), default=()
        )
        return f"{asked}; recorded is {' '.join(alike) or 'nothing'}"


def _likeness(head: Head, other: Head) -> int:
    """Return how far two heads are the same, from their beginning."""
    pairs = zip(" ".join(head), " ".join(other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _shown(content: bytes) -> str:
    text = content[:_SHOWN].decode(errors="backslashreplace")
    return f"the body {text}{'…' if len(content) > _SHOWN else ''}" if content else "no body"


@contextmanager
def replay(path: Path) -> Generator[Replay]:
    """Serve what ``record`` or ``maxlake record`` wrote to ``path``: recorded answers to the same requests.

    Requests are the same if their methods, paths, decoded queries and bodies are, but for signatures, dates
    and ids that a client makes for one call. Answers to a repeated request come in their order, the last
    again and again. What was not recorded is answered 400, and raises NotRecordedError at the end of the
    ``with`` (where that fails anyway, the note of its error says it). Signatures are not verified.

    Raises ValueError if the file is no recording.
    """
    described, exchanges = read_recording(path)
    with Replay(described.path, exchanges).running() as running:
        yield running
