"""A transport within one process, for tests: connections are bounded queues, and links can be cut.

async with MemoryNetwork() as network:
    berlin = network.transport("berlin", address="a")
    network.cut("a", "b")                    # connections end, and nobody gets through
    network.cut("a", "b", one_way=True)      # what a sends to b waits, as TCP lets it wait, until `heal`
    network.heal()
"""

from collections import deque
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import anyio

from replication.errors import ConnectionLostError, ListenError, PeerRefusedError
from replication.handshake import Identity, identity
from replication.transports.protocol import Accept

QUEUE_MESSAGES_MAX = 64
"""Messages on the way in one direction of a connection, before senders wait."""


class MemoryNetwork:
    """Joins transports by their addresses; owns the tasks in which connections are served."""

    def __init__(self) -> None:
        self._listening: dict[str, MemoryTransport] = {}
        self._cut: set[tuple[str, str]] = set()
        self._connections: list[MemoryConnection] = []
        self._tasks = anyio.create_task_group()
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin."""
        await self._exits.enter_async_context(self._tasks)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Close all connections, and cancel who still serves one."""
        for connection in list(self._connections):
            connection.lose("the network is closed")
        self._tasks.cancel_scope.cancel()
        return await self._exits.__aexit__(kind, error, traceback)

    def transport(self, replica_id: str, *, address: str, cluster: str = "test") -> "MemoryTransport":
        """Return a transport that listens at an address (any text) once it is started."""
        return MemoryTransport(self, identity(replica_id, cluster, None), address)

    def cut(self, a: str, b: str, *, one_way: bool = False) -> None:
        """Let nothing get from address `a` to `b`; new connections need both ways.

        Args:
            a: one address.
            b: the other.
            one_way: keep connections, and let what is sent from `a` to `b` wait; otherwise they end.
        """
        self._cut.add((a, b))
        if one_way:
            return
        self._cut.add((b, a))
        for connection in list(self._connections):
            if {connection.own_address, connection.far_address} == {a, b}:
                connection.lose("the link was cut")

    def heal(self) -> None:
        """Let everything through again."""
        self._cut.clear()
        for connection in self._connections:
            connection.wake()

    def lets_through(self, sender: str, receiver: str) -> bool:
        """Say whether what is sent from one address to another gets there."""
        return (sender, receiver) not in self._cut

    def listen(self, transport: "MemoryTransport", address: str) -> None:
        """Let connections to an address be made to a transport.

        Raises:
            ListenError: another listens there.
        """
        if self._listening.setdefault(address, transport) is not transport:
            raise ListenError(address, "another transport of this network listens there")

    def leave(self, transport: "MemoryTransport", address: str) -> None:
        """End the connections of a transport, and let none be made to it."""
        if self._listening.get(address) is transport:
            del self._listening[address]
        for connection in list(self._connections):
            if connection.owner is transport:
                connection.lose("closed here", remote="the peer closed the connection")

    def connected(self, dialler: "MemoryTransport", address: str) -> "MemoryConnection":
        """Make a connection, and let the other end be served.

        Raises:
            ConnectionLostError, PeerRefusedError: see `Transport.connect`.
        """
        listener = self._listening.get(address)
        if listener is None or not self._joins(dialler.own_address, address):
            raise ConnectionLostError(f"nobody answered at {address}")
        _check_fit(dialler.identity, listener.identity, address)
        near = MemoryConnection(self, dialler, listener)
        far = MemoryConnection(self, listener, dialler)
        near.other, far.other = far, near
        self._connections += [near, far]
        self._tasks.start_soon(listener.serve, far)
        return near

    def forget(self, connection: "MemoryConnection") -> None:
        """Forget a connection that is over."""
        self._connections = [one for one in self._connections if one is not connection]

    def _joins(self, a: str, b: str) -> bool:
        return self.lets_through(a, b) and self.lets_through(b, a)


class MemoryTransport:
    """Connections within one process; see `replication.transports.protocol.Transport`. Made by `MemoryNetwork`."""

    def __init__(self, network: MemoryNetwork, identity: Identity, own_address: str) -> None:
        self.address = ""
        self.identity = identity
        self.own_address = own_address
        self.refusals = 0
        self._network = network
        self._accept: Accept | None = None
        self._is_closed = False

    async def start(self, accept: Accept) -> None:
        """Begin to listen; see the protocol."""
        self._network.listen(self, self.own_address)
        self._accept = accept
        self.address = self.own_address

    async def connect(self, address: str) -> "MemoryConnection":
        """Return a connection; see the protocol."""
        await anyio.lowlevel.checkpoint()
        if self._is_closed:
            raise ConnectionLostError("the transport is closed")
        try:
            return self._network.connected(self, address)
        except PeerRefusedError as error:
            self.refusals += not error.is_ourselves
            raise

    async def aclose(self) -> None:
        """End listening and close all connections."""
        self._is_closed = True
        self._network.leave(self, self.own_address)

    async def serve(self, connection: "MemoryConnection") -> None:
        """Serve a connection that another made."""
        assert self._accept is not None
        try:
            await self._accept(connection)
        finally:
            connection.lose("closed here", remote="the peer closed the connection")


class MemoryConnection:
    """One end of a connection; see `replication.transports.protocol.Connection`.

    Attributes:
        other: the other end.
        owner: the transport that it belongs to.
        own_address: of this end.
        far_address: of the other.
        arrived: what was sent to this end and not read yet.
        ends: why nothing will follow after that, or empty.
    """

    other: "MemoryConnection"

    def __init__(self, network: MemoryNetwork, owner: MemoryTransport, peer: MemoryTransport) -> None:
        self.replica_id = peer.identity.replica_id
        self.peer_address = peer.address
        self.owner = owner
        self.own_address = owner.own_address
        self.far_address = peer.own_address
        self._network = network
        self.arrived: deque[bytes] = deque()
        self._changed = anyio.Event()
        self._lost = ""
        self.ends = ""

    async def send(self, message: bytes) -> None:
        """Hand a message over; see the protocol. A cancelled caller's message is not sent."""
        await anyio.lowlevel.checkpoint()
        while not self._lost and len(self.other.arrived) >= QUEUE_MESSAGES_MAX:
            await self._changed.wait()
        if self._lost or self.ends:
            raise ConnectionLostError(self._lost or self.ends)
        self.other.arrived.append(message)
        self.other.wake()

    async def receive(self) -> bytes:
        """Return the next whole message; see the protocol. A cancelled caller has lost none."""
        await anyio.lowlevel.checkpoint()
        while not self._lost:
            if self.arrived and self._network.lets_through(self.far_address, self.own_address):
                self.other.wake()
                return self.arrived.popleft()
            if self.ends and not self.arrived:
                break
            await self._changed.wait()
        raise ConnectionLostError(self._lost or self.ends)

    async def aclose(self, reason: str = "") -> None:
        """Close; what the peer has not read yet can still be read there."""
        said = f": {reason}" if reason else ""
        self.lose(f"closed here{said}", remote=f"the peer closed the connection{said}")

    def lose(self, reason: str, *, remote: str = "") -> None:
        """End this connection; the other end, too: at once, or after it has read what has arrived.

        Args:
            reason: what this end says now.
            remote: what the other end says when it has read all; if this is empty, it ends at once for the same reason.
        """
        if self._lost:
            return
        self._lost = reason
        self._network.forget(self)
        if remote:
            self.other.ends = self.other.ends or remote
        else:
            self.other.lose(reason)
        self.wake()
        self.other.wake()

    def wake(self) -> None:
        """Let those who wait here look again."""
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


def _check_fit(ours: Identity, theirs: Identity, address: str) -> None:
    if ours.cluster != theirs.cluster:
        raise PeerRefusedError(address, f"the clusters differ: {ours.cluster!r} here, {theirs.cluster!r} there")
    if ours.replica_id == theirs.replica_id:
        is_ourselves = ours.instance == theirs.instance
        reason = "both ends are this replica" if is_ourselves else f"two replicas have the id {ours.replica_id!r}"
        raise PeerRefusedError(address, reason, is_ourselves=is_ourselves)
