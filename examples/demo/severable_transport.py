"""`SeverableTransport`: a replica's network, whose cable can be pulled and plugged in again.

Severed, it is as with a cable pulled: its connections end, its port is closed, and it connects to nobody. The node
above it is not told; it goes on, alone.
"""

from replication import ConnectionLostError
from replication.transports.protocol import Accept
from replication.transports.websocket import WebSocketTransport
from replication.transports.websocket_connection import WebSocketConnection


class SeverableTransport:
    """Connections over WebSockets that can be cut; a `replication.transports.protocol.Transport`.

    Args:
        replica_id: this replica.
        cluster: the cluster's name.
        listen: "host:port"; port 0 takes a free one, and keeps it when the cut is mended.

    Attributes:
        address: where it listens, or would if it were not severed.
    """

    def __init__(self, replica_id: str, *, cluster: str, listen: str) -> None:
        self.address = ""
        self._replica_id = replica_id
        self._cluster = cluster
        self._accept: Accept
        self._inner = self._made(listen)
        self._is_severed = False

    @property
    def refusals(self) -> int:
        """How many peers were refused since it was mended last; see the protocol."""
        return self._inner.refusals

    async def start(self, accept: Accept) -> None:
        """Begin to listen; see the protocol."""
        self._accept = accept
        await self._inner.start(accept)
        self.address = self._inner.address

    async def connect(self, address: str) -> WebSocketConnection:
        """Return a connection to who listens at an address; a severed one fails at once.

        Raises:
            ConnectionLostError, PeerRefusedError: see the protocol.
        """
        if self._is_severed:
            raise ConnectionLostError("the network is severed")
        return await self._inner.connect(address)

    async def aclose(self) -> None:
        """End it all."""
        await self._inner.aclose()

    async def sever(self) -> None:
        """Return when no byte comes or goes any more."""
        self._is_severed = True
        await self._inner.aclose()

    async def mend(self) -> None:
        """Listen again, at the same address; connections come back by themselves.

        Raises:
            ListenError: somebody else has taken the port meanwhile.
        """
        self._inner = self._made(self.address)
        await self._inner.start(self._accept)
        self._is_severed = False

    def _made(self, listen: str) -> WebSocketTransport:
        return WebSocketTransport(self._replica_id, cluster=self._cluster, listen=listen)
