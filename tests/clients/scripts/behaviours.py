"""Behaviours of a real client, run one at a time as the tests ask for them.

Those that every client has are written once, in the `reads_*` modules, in terms of `tables.Table`.

The process is given the servers' addresses as JSON in its first argument. Each line of its standard input
is `["name", "variant"]`; it answers each with a line of JSON, `{"error": null}` or the traceback.
"""

import json
import subprocess
import sys
import traceback
from dataclasses import dataclass

from odps import ODPS, errors


@dataclass(frozen=True)
class Server:
    """A server, the key it knows, and the command that does its maintenance at once."""

    endpoint: str
    access_id: str
    secret: str
    project: str
    maintenance: list

    def maintain(self, *options):
        """Merge small files and remove what nobody needs, beside the running server."""
        subprocess.run([*self.maintenance, *options], check=True, timeout=60, stdout=sys.stderr)

    def odps(self, project=None, *, secret=None, **options):
        return ODPS(
            self.access_id, secret or self.secret, project or self.project, endpoint=self.endpoint, **options
        )


@dataclass(frozen=True)
class Context:
    """What a behaviour is given. `name` is its own, free for tables; `variant` is "" unless it has some.

    `faulty` is `server` again, behind a proxy in which a test may let things go wrong.
    """

    client: str
    name: str
    variant: str
    server: Server
    short_lived: Server
    faulty: Server
    tables: type

    def made(self, columns="id bigint, name string", partitions="pt string", clause="", short_lived=False):
        """Create the behaviour's table; return it as a `tables.Table` of the client."""
        return self.tables.made(self, columns, partitions, clause, short_lived)

    @property
    def table(self):
        """A table name no other behaviour uses."""
        return "_".join(part for part in (self.client, self.name, self.variant) if part)


_KNOWN = {}


def behaviour(*variants):
    """Register a function of one `Context`, once for each variant."""

    def register(function):
        assert function.__name__ not in _KNOWN, function.__name__
        _KNOWN[function.__name__] = function
        return function

    return register


def same(got, want):
    """Assert equality, showing both sides."""
    if got != want:
        raise AssertionError(f"\n got: {got!r}\nwant: {want!r}")


def refused(error_class, call, *, code=None, mention=""):
    """Assert that `call` raises `error_class`, or our subclass of the same name; return the error."""
    try:
        result = call()
    except Exception as error:
        same((type(error).__name__, isinstance(error, error_class)), (error_class.__name__, True))
        if code is not None:
            same(getattr(error, "error_code", None) or error.code, code)
        if mention not in str(error):
            raise AssertionError(f"{mention!r} is not in {error}") from error
        return error
    raise AssertionError(f"no {error_class.__name__}, but {result!r}")


def failed(call, code, mention="", status=400):
    """Assert that the service refuses `call`: the class `odps.errors` has for the code, code and status."""
    error = refused(getattr(errors, code, errors.ODPSError), call, code=code, mention=mention)
    same(error.status_code, status)
    assert error.request_id


def serve(client, tables):
    """Answer requests until standard input ends."""
    servers = {name: Server(**address) for name, address in json.loads(sys.argv[1]).items()}
    answers, sys.stdout = sys.stdout, sys.stderr  # clients print
    for line in sys.stdin:
        name, variant = json.loads(line)
        try:
            _KNOWN[name](Context(client, name, variant, **servers, tables=tables))
            error = None
        except Exception:  # noqa: BLE001 - reported to the test
            error = traceback.format_exc()
        print(json.dumps({"error": error}), file=answers, flush=True)
