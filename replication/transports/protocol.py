"""The protocol that every transport fulfils: connections to authenticated peers that carry whole messages in order."""

from collections.abc import Awaitable, Callable
from typing import Protocol


class Connection(Protocol):
    """A connection to one peer. Both ends know who the other is, of the same cluster and protocol version.

    Attributes:
        replica_id: the peer.
        peer_address: where the peer says that it listens ("host:port"), or empty.
    """

    replica_id: str
    peer_address: str

    async def send(self, message: bytes) -> None:
        """Hand a message over; wait while the peer does not read (bounded by a timeout).

        Raises:
            ConnectionLostError: the connection is gone; whether the message arrived is unknown.
        """
        ...

    async def receive(self) -> bytes:
        """Return the next whole message.

        Raises:
            ConnectionLostError: the connection is gone, or the peer broke the protocol.
        """
        ...

    async def aclose(self, reason: str = "") -> None:
        """Close; closing twice does nothing."""
        ...


Accept = Callable[[Connection], Awaitable[None]]
"""Serves a connection until it is over; the transport closes it afterwards."""


class Transport(Protocol):
    """Makes connections and takes them.

    Attributes:
        address: where it listens ("host:port"), once it does; empty before, and where it does not.
    """

    address: str

    @property
    def refusals(self) -> int:
        """How many peers were refused, or did not keep to the protocol."""
        ...

    async def start(self, accept: Accept) -> None:
        """Begin to listen; `accept` is run for each connection that others make, in a task of the transport's.

        Raises:
            ListenError: the address cannot be listened on.
        """
        ...

    async def connect(self, address: str) -> Connection:
        """Return a connection to who listens at an address.

        Raises:
            ConnectionLostError: nobody answers there, within a bounded time.
            PeerRefusedError: who answers is of another cluster, protocol version or secret, or is this replica itself.
        """
        ...

    async def aclose(self) -> None:
        """End listening and close all connections; closing twice does nothing."""
        ...
