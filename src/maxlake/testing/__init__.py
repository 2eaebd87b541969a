"""A real maxlake server for tests: yours and ours."""

from maxlake.testing import faults
from maxlake.testing.fault_proxy import ConnectionCut, Fault, FaultProxy, fault_proxy
from maxlake.testing.local_server import LocalServer, ServerDiedError, local_server

__all__ = [
    "ConnectionCut",
    "Fault",
    "FaultProxy",
    "LocalServer",
    "ServerDiedError",
    "fault_proxy",
    "faults",
    "local_server",
]
