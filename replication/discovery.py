"""Finding replicas of the same cluster on the local network: multicast DNS, service discovery (RFC 6762, RFC 6763).

A node announces `_calliope._tcp.local.` with a TXT record of its cluster, replica id and protocol version, and hears of
others. What is heard is a hint where to dial, nothing more: who answers there has to prove who he is. A node that
listens on the loopback interface is announced there only.

asyncio only, as zeroconf is.
"""

import logging
import secrets
import socket
from collections import Counter, deque
from collections.abc import Callable, Sequence

import anyio
from anyio.abc import TaskStatus
from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from replication.addresses import is_loopback, is_unspecified, joined, parsed
from replication.errors import ListenError
from replication.handshake import PROTOCOL_VERSION
from replication.printable import printable

SERVICE_TYPE = "_calliope._tcp.local."

SERVICES_MAX = 1024
"""Services that are known, of whatever cluster; more are not listened to."""

RESOLVE_SECONDS = 2.0
"""How long somebody who was heard of may take to say where he listens."""

RESOLVE_TIMES = 3
"""How often he is asked: multicast loses packets, and a busy machine answers late."""

TXT_VALUE_BYTES_MAX = 200
"""UTF-8 bytes of a value in the TXT record; a longer one is cut. RFC 6763 allows 255 with the key."""

_log = logging.getLogger("replication.discovery")


class Discovery:
    """Announces this replica, and tells of others of its cluster.

    Args:
        cluster: the cluster.
        replica_id: this replica.
        address: where it listens ("host:port").
        on_found: told each address at which a replica of the cluster listens.
        on_lost: told each address that is no longer announced.
        interfaces: the IP addresses of the interfaces used; by default the one listened on, or all.
    """

    def __init__(
        self,
        cluster: str,
        replica_id: str,
        address: str,
        on_found: Callable[[str], object],
        on_lost: Callable[[str], object],
        *,
        interfaces: Sequence[str] | None = None,
    ) -> None:
        host, self._port = parsed(address)
        self._host = "127.0.0.1" if host.lower() == "localhost" else host
        self._cluster = cluster
        self._replica_id = replica_id
        self._on_found = on_found
        self._on_lost = on_lost
        self._interfaces = list(interfaces) if interfaces is not None else _interfaces_for(self._host)
        self._name = f"{secrets.token_hex(8)}.{SERVICE_TYPE}"
        self._found: dict[str, str] = {}
        self._unresolved: Counter[str] = Counter()
        self._news: deque[tuple[str, ServiceStateChange]] = deque(maxlen=2 * SERVICES_MAX)
        self._has_news = anyio.Event()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Announce and listen until cancelled; then take the announcement back.

        Raises:
            ListenError: multicast is not possible on an interface.
        """
        try:
            zeroconf = AsyncZeroconf(interfaces=self._interfaces, ip_version=_version_of(self._interfaces))
        except OSError as error:
            raise ListenError(", ".join(self._interfaces), f"no multicast there: {error}") from None
        browser = AsyncServiceBrowser(zeroconf.zeroconf, SERVICE_TYPE, handlers=[self._heard])
        try:
            await zeroconf.async_register_service(await self._announcement())
            task_status.started()
            while True:
                await self._work_off(zeroconf.zeroconf)
        finally:
            with anyio.CancelScope(shield=True):
                await browser.async_cancel()
                await zeroconf.async_unregister_all_services()
                await zeroconf.async_close()

    def _heard(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if name != self._name:
            self._news.append((name, state_change))
            self._has_news.set()

    async def _work_off(self, zeroconf: Zeroconf) -> None:
        await self._has_news.wait()
        self._has_news = anyio.Event()
        while self._news:
            name, change = self._news.popleft()
            if change is ServiceStateChange.Removed:
                self._forget(name)
            elif name in self._found or len(self._found) < SERVICES_MAX:
                service = AsyncServiceInfo(SERVICE_TYPE, name)
                if await service.async_request(zeroconf, RESOLVE_SECONDS * 1000):
                    self._unresolved.pop(name, None)
                    self._learn(name, self._address_of(service))
                else:
                    self._ask_again(name, change)

    def _ask_again(self, name: str, change: ServiceStateChange) -> None:
        """Put somebody who has not said where he listens behind the others, a few times."""
        self._unresolved[name] += 1
        if self._unresolved[name] < RESOLVE_TIMES and len(self._unresolved) <= SERVICES_MAX:
            self._news.append((name, change))
        else:
            del self._unresolved[name]

    def _address_of(self, service: AsyncServiceInfo) -> str | None:
        """Return where a service listens, or None if it is not of our cluster."""
        name = service.name
        told = service.properties
        if told.get(b"cluster") != _cut(self._cluster) or told.get(b"replica") == _cut(self._replica_id):
            return None
        if told.get(b"protocol") != str(PROTOCOL_VERSION).encode():
            _log.warning(
                "a replica of this cluster at %s speaks protocol version %r", printable(name), told.get(b"protocol")
            )
            return None
        hosts = service.parsed_addresses(IPVersion.All)
        return joined(hosts[0], service.port) if hosts and service.port else None

    def _learn(self, name: str, address: str | None) -> None:
        if address is None or self._found.get(name) == address:
            return
        self._forget(name)
        if address not in self._found.values():
            self._on_found(address)
        self._found[name] = address

    def _forget(self, name: str) -> None:
        address = self._found.pop(name, None)
        if address is not None and address not in self._found.values():  # restarted: announced anew by another name
            self._on_lost(address)

    async def _announcement(self) -> AsyncServiceInfo:
        hosts = [_outward_host()] if is_unspecified(self._host) else [self._host]
        found = await anyio.getaddrinfo(hosts[0], self._port, type=socket.SOCK_STREAM)
        return AsyncServiceInfo(
            SERVICE_TYPE,
            self._name,
            port=self._port,
            parsed_addresses=sorted({str(place[0]) for *_, place in found}),
            properties={
                b"cluster": _cut(self._cluster),
                b"replica": _cut(self._replica_id),
                b"protocol": str(PROTOCOL_VERSION).encode(),
            },
            server=f"{self._name.partition('.')[0]}.local.",
        )


def _interfaces_for(host: str) -> list[str]:
    if is_loopback(host):
        return ["::1" if ":" in host else "127.0.0.1"]
    return [_outward_host() if is_unspecified(host) else host]


def _version_of(interfaces: Sequence[str]) -> IPVersion:
    return IPVersion.V6Only if all(":" in interface for interface in interfaces) else IPVersion.V4Only


def _outward_host() -> str:
    """Return the address of the interface that leads out; connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved for documentation (RFC 5737)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _cut(value: str) -> bytes:
    return value.encode()[:TXT_VALUE_BYTES_MAX]
