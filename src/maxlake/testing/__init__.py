"""A real maxlake server for tests: yours and ours."""

from maxlake.testing.local_server import LocalServer, ServerDiedError, local_server

__all__ = ["LocalServer", "ServerDiedError", "local_server"]
