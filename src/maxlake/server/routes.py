"""Which method and path goes to which handler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from starlette.routing import Match, Route

from maxlake.protocol.errors import ErrorCode, NotFoundError
from maxlake.server.exchange import Exchange
from maxlake.server.parameters import checked_identifier

#: The endpoint users give ends in /api; what clients believe to be a tunnel they call without (rest.md §7).
_PREFIX = "/api"

Handler = TypeVar("Handler")


class Routes(Generic[Handler]):
    """Handlers by method and path; ``{name}`` in a path is one segment."""

    def __init__(self, handlers: Mapping[tuple[str, str], Handler]) -> None:
        self._routes = [
            (Route(path, _unused, methods=[method]), handler) for (method, path), handler in handlers.items()
        ]

    def find(self, exchange: Exchange) -> tuple[Handler, dict[str, str]]:
        """Return the handler of a request and the names in its path.

        Raises NoSuchObject if there is none, InvalidArgument for names that no signed path has.
        """
        prefixed = exchange.path.startswith(f"{_PREFIX}/")
        scope = {**exchange.scope, "root_path": _PREFIX if prefixed else ""}
        for route, handler in self._routes:
            match, found = route.matches(scope)
            if match is Match.FULL:
                names = found["path_params"].items()
                return handler, {name: checked_identifier(value, name) for name, value in names}
        raise NotFoundError(
            ErrorCode.NO_SUCH_OBJECT, f"{exchange.method} {exchange.path[:256]} is not served"
        )


def _unused() -> None:
    """Stand for a handler: routes are only matched."""
