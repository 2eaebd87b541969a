"""The server process: opens the service, listens, says so, and ends in good order."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from threading import Event

import msgspec
import uvicorn

from maxlake.protocol import limits
from maxlake.server.app import App
from maxlake.server.http_protocol import HttpProtocol, allow_all_files
from maxlake.server.keys import KEY_FILE, SECRET_VARIABLE, AccessKey, access_key
from maxlake.server.maintenance import Maintenance
from maxlake.server.memory import share_heaps
from maxlake.service.service import Service, ServiceSettings

#: Modules that take long to load, and are not needed to start (see rest/instances.py, service/predicates.py).
_WARMED = ("maxlake.service.instances", "maxlake.protocol.predicates.parse", "duckdb")
#: Seconds until a connection that was accepted is known to the server.
_LAST_ACCEPTED = 0.05

_log = logging.getLogger("maxlake.server")


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``maxlake serve`` is told. ``port`` 0 picks a free one."""

    root: Path
    host: str
    port: int
    project: str
    ready_file: Path | None
    database_url: str | None
    service: ServiceSettings


@dataclass(frozen=True, slots=True)
class Address:
    """Where a running server is reached, and with which key."""

    endpoint: str
    pid: int
    project: str
    key: AccessKey
    #: Where the key is stored; None for a key from the environment.
    key_file: Path | None


def run(settings: Settings, announce: Callable[[Address], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return.

    ``announce`` is called once requests are accepted. Raises OSError if the address cannot be had,
    ValueError for an unusable access key, and what ``Service.open`` does. What does not end in time is left
    to the end of the process, which is then at once: the lake takes that as a crash.
    """
    stop = _stop_signals()
    share_heaps()
    allow_all_files()
    settings.root.mkdir(parents=True, exist_ok=True)
    key = access_key(settings.root, os.environ)
    listener = _listen(settings.host, settings.port)
    service = Service.open(
        settings.root,
        project=settings.project,
        database_url=settings.database_url,
        settings=settings.service,
    )
    path = (settings.root / KEY_FILE).absolute()
    key_file = None if os.environ.get(SECRET_VARIABLE) else path
    address = Address(f"http://{_location(listener)}/api", os.getpid(), settings.project, key, key_file)

    maintenance = Maintenance(service, settings.service.maintenance_interval)

    def ready() -> None:
        maintenance.start()
        if settings.ready_file is not None:
            _write_ready_file(settings.ready_file, address)
        announce(address)

    ended = True
    try:
        if not stop.is_set():
            ended = _serve(service, key, listener, ready, stop)
    finally:
        ended = maintenance.stop() and ended
        if ended:
            service.close()
    if not ended:
        _log.warning("some work did not end in time; ending without it")
        logging.shutdown()
        os._exit(0)


def _stop_signals() -> Event:
    """Return what SIGTERM and SIGINT set from now on.

    uvicorn has handlers of its own while it runs, and raises the signal again when it is done: the process
    is to end with 0.
    """
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _serve(
    service: Service, key: AccessKey, listener: socket.socket, ready: Callable[[], None], stop: Event
) -> bool:
    """Serve until told to stop; tell whether all that was begun has ended."""
    app = App(service, key.find_secret, lambda: datetime.now(UTC))
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=HttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=limits.KEEP_ALIVE,
        timeout_graceful_shutdown=limits.SHUTDOWN_DRAIN,
    )
    try:
        _Server(config, ready, stop).run([listener])
    except BaseException:
        app.workers.close()
        raise
    return app.workers.close()


class _Server(uvicorn.Server):
    """uvicorn's server, telling when it accepts requests. ``stop`` was perhaps set before its handlers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], stop: Event) -> None:
        super().__init__(config)
        self._ready = ready
        self._stop = stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._stop.is_set():
            self.should_exit = True
            return
        await asyncio.get_running_loop().run_in_executor(None, self._ready)
        # What the first SQL statement and the first predicate need; it would only delay the start.
        self._warming = asyncio.create_task(asyncio.to_thread(_import, _WARMED))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        # uvicorn ends the connections it knows, once, and waits for all: those accepted just now come first.
        await asyncio.sleep(_LAST_ACCEPTED)
        await super().shutdown(sockets)


def _import(modules: Iterable[str]) -> None:
    for name in modules:
        import_module(name)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.set_inheritable(False)
    return listener


def _location(listener: socket.socket) -> str:
    """Return ``host:port`` as a client on this machine dials it."""
    name: tuple[str, int] = listener.getsockname()[:2]
    host, port = name
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _write_ready_file(path: Path, address: Address) -> None:
    """Write the file whole or not at all: whoever sees it can read it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    draft.write_bytes(msgspec.json.encode({"endpoint": address.endpoint, "pid": address.pid}))
    draft.replace(path)
