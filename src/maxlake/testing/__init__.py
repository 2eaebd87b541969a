"""Servers for tests, yours and ours: a real one, and others that do what a real one would not."""

from maxlake.failpoints import BatchPoint, Failpoint
from maxlake.testing import faults
from maxlake.testing.byte_server import ByteServer, Received, byte_server
from maxlake.testing.fault_proxy import Fault, FaultProxy, fault_proxy
from maxlake.testing.listener import ConnectionCut
from maxlake.testing.local_server import InjectedFault, LocalServer, ServerDiedError, local_server
from maxlake.testing.recorder import Recorder, record
from maxlake.testing.replay import NotRecordedError, Replay, replay

__all__ = [
    "BatchPoint",
    "ByteServer",
    "ConnectionCut",
    "Failpoint",
    "Fault",
    "FaultProxy",
    "InjectedFault",
    "LocalServer",
    "NotRecordedError",
    "Received",
    "Recorder",
    "Replay",
    "ServerDiedError",
    "byte_server",
    "fault_proxy",
    "faults",
    "local_server",
    "record",
    "replay",
]
