"""Request signatures v2 and v4: the string to sign, signing, verifying (auth.md).

Neither the body nor ``Host`` is signed. No text of an error here may make PyODPS fall back to another
signature version, hence their plain wording (wire.md §3.3).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import product
from urllib.parse import parse_qsl, unquote

from maxlake.protocol.errors import DeniedError, ErrorCode, invalid_argument
from maxlake.protocol.limits import MAX_CLOCK_SKEW
from maxlake.protocol.query import parse_query

FindSecret = Callable[[str], str | None]

_SCHEME = "ODPS "
_SERVICE = "odps"
_DEFAULT_VERSION_WORD = "aliyun_v4"
_SIGNED_ALWAYS = ("content-md5", "content-type", "date")
_SIGNED_PREFIX = "x-odps-"
# PyODPS adds it after signing.
_NEVER_SIGNED = "x-odps-bearer-token"
_READ_ONCE = frozenset(
    {*_SIGNED_ALWAYS, "authorization", "application-authentication", "x-odps-bearer-token"}
)
_PATH_PREFIX = "/api"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DAY = re.compile(r"[0-9]{8}")
_VERSION_WORD = re.compile(r"([a-z0-9_]{1,32})_request")


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What of a request takes part in signing.

    ``target`` is path and query as they were on the wire, still percent-encoded; ``headers`` are pairs
    in any order and spelling, repeated ones included.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        """Return the value of the header with this lower-case name, or None."""
        return next((value for key, value in self.headers if key.lower() == name), None)


def canonical_candidates(request: SignedRequest) -> tuple[str, ...]:
    """Return the strings an official client may have signed for this request, likeliest first.

    One for each way of stripping the endpoint's ``/api``, of writing the leading slash and of decoding
    (auth.md §1), without repetitions. Raises InvalidArgument for a query ``parse_query`` refuses, for
    control characters in the path and for signed headers that are given twice.
    """
    signed_headers = _signed_headers(request)
    path, parameters = _decode_once(request.target)
    for name in parameters:
        if name.lower() in signed_headers and name.lower().startswith(_SIGNED_PREFIX):
            raise invalid_argument(f"{name} is given as header and as query parameter")
    readings = [(path, parameters)]
    twice = _decode_twice(request.target)
    if twice is not None:
        readings.insert(0, twice)
    texts: dict[str, None] = {}
    for strip, slash, (reading_path, reading_parameters) in product((True, False), (True, False), readings):
        resource = _canonical_path(reading_path, strip=strip, slash=slash)
        texts[_string_to_sign(request.method, resource, signed_headers, reading_parameters)] = None
    return tuple(texts)


def _signed_headers(request: SignedRequest) -> dict[str, str]:
    """Return the signed headers; a repeated one could be signed with one value and read with another."""
    found: dict[str, str] = {}
    for key, value in request.headers:
        name = key.lower()
        if name not in _READ_ONCE and not name.startswith(_SIGNED_PREFIX):
            continue
        if name in found:
            raise invalid_argument(f"Header {key} is given twice")
        found[name] = value
    signed = {name: value for name, value in found.items() if _is_signed(name)}
    return dict.fromkeys(_SIGNED_ALWAYS, "") | signed


def _is_signed(name: str) -> bool:
    return name in _SIGNED_ALWAYS or (name.startswith(_SIGNED_PREFIX) and name != _NEVER_SIGNED)


def _decode_once(target: str) -> tuple[str, dict[str, str]]:
    raw_path, _, raw_query = target.partition("?")
    path = unquote(raw_path)
    if "?" in path or _CONTROL.search(path):
        raise invalid_argument("The path of the request has a question mark or control characters")
    return path, parse_query(raw_query)


def _decode_twice(target: str) -> tuple[str, dict[str, str]] | None:
    """Return path and parameters as PyODPS signs them; None if that text would be ambiguous.

    PyODPS decodes the whole target before it splits it and decodes the query once more while parsing.
    """
    path, _, query = unquote(target).partition("?")
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    if any(_CONTROL.search(text) for pair in parameters.items() for text in pair):
        return None
    return path, parameters


def _canonical_path(path: str, *, strip: bool, slash: bool) -> str:
    if strip and (path == _PATH_PREFIX or path.startswith(f"{_PATH_PREFIX}/")):
        path = path.removeprefix(_PATH_PREFIX)
    return path if slash else path.removeprefix("/")


def _string_to_sign(method: str, path: str, headers: dict[str, str], parameters: dict[str, str]) -> str:
    signed = headers | {name: value for name, value in parameters.items() if name.startswith(_SIGNED_PREFIX)}
    lines = [
        f"{name}:{value}" if name.startswith(_SIGNED_PREFIX) else value
        for name, value in sorted(signed.items())
    ]
    query = "&".join(f"{name}={value}" if value else name for name, value in sorted(parameters.items()))
    return "\n".join([method, *lines, f"{path}?{query}" if query else path])


def sign_v2(access_id: str, secret: str, string_to_sign: str) -> str:
    """Return the ``Authorization`` value of a v2 signature (auth.md §2)."""
    return f"{_SCHEME}{access_id}:{_mac(secret.encode(), string_to_sign)}"


def sign_v4(
    access_id: str,
    secret: str,
    string_to_sign: str,
    *,
    day: date,
    region: str,
    version_word: str = _DEFAULT_VERSION_WORD,
) -> str:
    """Return the ``Authorization`` value of a v4 signature; ``day`` is the UTC date (auth.md §3)."""
    text = day.strftime("%Y%m%d")
    key = _v4_key(secret, text, region, version_word)
    return (
        f"{_SCHEME}{access_id}/{text}/{region}/{_SERVICE}/{version_word}_request:{_mac(key, string_to_sign)}"
    )


def _v4_key(secret: str, day: str, region: str, version_word: str) -> bytes:
    key = f"{version_word}{secret}".encode()
    for step in (day, region, _SERVICE, f"{version_word}_request"):
        key = hmac.digest(key, step.encode(), hashlib.sha256)
    return key


def _mac(key: bytes, text: str) -> str:
    return base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha1)).decode()


@dataclass(frozen=True, slots=True)
class _Credential:
    """The parsed ``Authorization``; ``scope`` is day, region and version word of a v4 signature."""

    access_id: str
    signature: str
    scope: tuple[str, str, str] | None

    def key(self, secret: str) -> bytes:
        return secret.encode() if self.scope is None else _v4_key(secret, *self.scope)


def verify(request: SignedRequest, find_secret: FindSecret, now: datetime) -> str:
    """Return the access id the request is signed with.

    ``find_secret`` maps an access id, of an account or of an application, to its secret or None;
    ``now`` is aware. Raises DeniedError: RequestTimeTooSkewed if ``Date`` is absent, malformed or more
    than ``MAX_CLOCK_SKEW`` seconds off; SignatureNotMatch if no candidate fits; Unauthorized for all
    else. Raises BadRequestError where ``canonical_candidates`` does.
    """
    authorization = _authorization(request)
    _check_date(request.header("date"), now)
    credential = _parse_authorization(authorization, now)
    secret = find_secret(credential.access_id)
    if secret is None:
        raise _unauthorized(f"Unknown access id {credential.access_id!r}")
    key = credential.key(secret)
    if not _any_equal(credential.signature, (_mac(key, text) for text in canonical_candidates(request))):
        raise DeniedError(
            ErrorCode.SIGNATURE_NOT_MATCH,
            f"The signature does not fit the request: check the secret of {credential.access_id!r}, "
            "and that no proxy changes path, query or headers",
        )
    _verify_application(request.header("application-authentication"), authorization, find_secret)
    return credential.access_id


def _unauthorized(message: str) -> DeniedError:
    return DeniedError(ErrorCode.UNAUTHORIZED, message)


def _any_equal(given: str, computed: Iterable[str]) -> bool:
    # No early end: how long it takes must not tell which candidate came near.
    equal = [hmac.compare_digest(given.encode(), text.encode()) for text in computed]
    return True in equal


def _authorization(request: SignedRequest) -> str:
    if request.header("authorization-sts-token") is not None:
        raise _unauthorized("Temporary (STS) credentials are not served: use an access id and its secret")
    authorization = request.header("authorization")
    if authorization is not None:
        return authorization
    if request.header("x-odps-bearer-token") is not None:
        raise _unauthorized("Bearer tokens are not served: use an access id and its secret")
    raise _unauthorized("The request is not signed: use an access id and its secret")


def _check_date(text: str | None, now: datetime) -> None:
    try:
        sent = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, OverflowError) as error:
        raise DeniedError(
            ErrorCode.REQUEST_TIME_TOO_SKEWED,
            f"Date is absent or not an RFC 1123 date: {(text or '')[:64]!r}",
        ) from error
    skew = abs((now - sent.replace(tzinfo=sent.tzinfo or UTC)).total_seconds())
    if skew > MAX_CLOCK_SKEW:
        raise DeniedError(
            ErrorCode.REQUEST_TIME_TOO_SKEWED,
            f"Date {text!r} is {skew:.0f} s from the server's clock, at most {MAX_CLOCK_SKEW} s are allowed: "
            "set the clock of this machine",
        )


def _parse_authorization(text: str, now: datetime) -> _Credential:
    scheme, credential, signature = text[: len(_SCHEME)], *text[len(_SCHEME) :].rpartition(":")[::2]
    if scheme != _SCHEME or not credential or not signature:
        raise _unauthorized("Authorization is not of the form 'ODPS <access id>:<signature>'")
    match credential.split("/"):
        case [access_id]:
            return _Credential(access_id, signature, None)
        case [access_id, day, region, service, version]:
            word = _VERSION_WORD.fullmatch(version)
            if service != _SERVICE or word is None or not _is_near(day, now):
                raise _unauthorized(f"Not a credential for this service and day: {credential[:256]!r}")
            return _Credential(access_id, signature, (day, region, word[1]))
        case _:
            raise _unauthorized(f"Not a credential: {credential[:256]!r}")


def _is_near(day: str, now: datetime) -> bool:
    if not _DAY.fullmatch(day):
        return False
    try:
        signed = date(int(day[:4]), int(day[4:6]), int(day[6:]))
    except ValueError:
        return False
    return abs(signed - now.astimezone(UTC).date()) <= timedelta(days=1)


def _verify_application(text: str | None, authorization: str, find_secret: FindSecret) -> None:
    """Check the second signature, over the first, that an application account adds (auth.md §4)."""
    if text is None:
        return
    fields: dict[str, str] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition(":")
        fields[name] = value
    secret = find_secret(fields.get("access_id", ""))
    if secret is None or fields.get("signature_method") != "hmac-sha1":
        raise _unauthorized("application-authentication names no known application and hmac-sha1")
    if not _any_equal(fields.get("signature", ""), [_mac(secret.encode(), authorization)]):
        raise DeniedError(
            ErrorCode.SIGNATURE_NOT_MATCH, "The application's signature does not fit the request"
        )
