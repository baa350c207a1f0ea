"""`Node`: a journal, a replicator and a place in the cluster, opened and closed together.

    async with Node.open("berlin.db", replica_id="berlin", listen="127.0.0.1:7401", peers=["127.0.0.1:7402"]) as node:
        await node.replicator.update("cart", ORSet, lambda cart: cart.add("milk"))

What is persisted in replicated streams of `node.journal`, and what the replicator updates, reaches every replica of the
cluster. A node works alone as well: it catches up with the others when it finds them.
"""

import os
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import SystemRandom
from time import monotonic
from types import TracebackType
from typing import Any, Self, cast

import anyio
from anyio.abc import TaskGroup

from calliope import Journal, JournalClosedError
from calliope.journal import path_of
from calliope.owning import single_error
from calliope.stores.replica_store import ReplicaStore
from calliope.stores.sqlite import Durability
from calliope.stores.versioned import replica_of
from replication.addresses import parsed
from replication.arguments import checked_timeout
from replication.core.agreement import Replicas
from replication.core.replica import MemberReport, ReplicaCore
from replication.core.settings import Settings
from replication.discovery import Discovery
from replication.engine import Engine
from replication.identifiers import checked_replica_id
from replication.links import Links
from replication.node_lock import held, held_by_server
from replication.replicator import Replicator
from replication.single_replica import checked_replicas
from replication.transports.protocol import Transport
from replication.transports.websocket import WebSocketTransport

INCARNATION_BYTES = 4
"""How many random bytes tell the logs of one replica apart."""


class Node:
    """One replica of a cluster. Open it with `Node.open`, as an async context manager.

    Args:
        journal: where this replica keeps everything; entered and left with the node.
        transport: makes connections and takes them.
        replica_id: who this replica is.
        peers: the addresses of others, "host:port".
        discovers: the name of the cluster whose replicas are looked for on the local network; None: of none.
        settings: times and bounds of the protocol.
        listens: whether others can connect to this replica.
        file: the journal's file, if it has one, which this node then holds alone.

    Attributes:
        journal: the journal; what is persisted in its replicated streams reaches every replica.
        replicator: the CRDT keys.
        replica_id: who this replica is.
    """

    journal: Journal
    replicator: Replicator

    def __init__(
        self,
        journal: Journal,
        transport: Transport,
        *,
        replica_id: str,
        peers: Sequence[str] = (),
        discovers: str | None = None,
        settings: Settings | None = None,
        listens: bool = True,
        file: Path | None = None,
    ) -> None:
        self.journal = journal
        self.replica_id = checked_replica_id(replica_id)
        self._transport = transport
        self._peers = tuple(dict.fromkeys(peers))
        self._discovers = discovers
        self._settings = settings or Settings()
        self._listens = listens
        self._file = file
        self._engine: Engine
        self._links: Links
        self._stack = AsyncExitStack()
        self._entered = False

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str],
        *,
        replica_id: str,
        listen: str | None = None,
        peers: Sequence[str] = (),
        discover: bool = False,
        cluster: str = "calliope",
        secret: str | bytes | None = None,
        tls_server: ssl.SSLContext | None = None,
        tls_client: ssl.SSLContext | None = None,
        durability: Durability = "full",
        settings: Settings | None = None,
    ) -> Self:
        """Return the node whose journal is at a URL, to be entered with `async with`, under asyncio, as aiohttp is.

        Args:
            url: as for `Journal.open`: a path, `sqlite:///path`, `memory://`, `postgresql://…` or `nats://…`. On a
                server the replica is the whole journal: other processes open it with `Journal.open` and write
                replicated streams, and the one node gossips what they wrote. On NATS it takes some seconds until
                another node follows one that was killed.
            replica_id: who this replica is, for ever: 1 to 255 bytes, without "~".
            listen: where others connect, "host:port"; port 0 takes a free one, see `address`. None: nobody can.
            peers: where others listen; one is enough to get everything, in whatever topology.
            discover: whether to find, and be found by, replicas of the cluster on the local network (zeroconf).
            cluster: the cluster's name; replicas of another are refused.
            secret: what all replicas of the cluster know. Without one, and without TLS, only loopback addresses are
                listened on and connected to.
            tls_server: a TLS context for connections that others make.
            tls_client: a TLS context for connections made here.
            durability: as for `Journal.open`.
            settings: times and bounds of the protocol.

        Raises:
            TypeError, ValueError: an argument is not legal; the error names it.

        Entering raises what entering a journal raises, `JournalBusyError` if another node holds the journal, and
        `ListenError` if the address cannot be listened on. Leaving finishes what was accepted, and closes everything.

        A node on a server that was cut off from it, while another node took its place, ends with `JournalBusyError`:
        the block is cancelled, and leaving it raises that.
        """
        if isinstance(peers, str) or not isinstance(peers, Iterable):
            raise TypeError(f"peers must be a list of addresses, not {peers!r:.100}")
        for peer in peers:
            parsed(peer)
        if not isinstance(settings, Settings | None):
            raise TypeError(f"settings must be Settings or None, not {settings!r:.100}")
        if discover and listen is None:
            raise ValueError("discover=True announces where this node listens: listen must be an address, not None")
        transport = WebSocketTransport(
            checked_replica_id(replica_id),
            cluster=cluster,
            listen=listen,
            secret=secret,
            tls_server=tls_server,
            tls_client=tls_client,
        )
        return cls(
            Journal.open(url, durability=durability),
            transport,
            replica_id=replica_id,
            peers=peers,
            discovers=cluster if discover else None,
            settings=settings,
            listens=listen is not None,
            file=path_of(url),
        )

    async def __aenter__(self) -> Self:
        if self._entered:
            raise JournalClosedError("a node is entered once; open it anew")
        self._entered = True
        async with AsyncExitStack() as stack:
            stack.enter_context(held(self._file))
            await stack.enter_async_context(self.journal)
            watch = await stack.enter_async_context(held_by_server(self.journal.store))
            await self._start(stack, watch)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, error_class: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(error_class, error, traceback)

    async def _start(self, stack: AsyncExitStack, watch: Callable[[], Coroutine[Any, Any, None]]) -> None:
        store = cast(ReplicaStore, self.journal.store)
        facts = await store.remembered()
        core = ReplicaCore(
            self.replica_id,
            log_id=store.log_id if replica_of(store.log_id) == self.replica_id else "",
            fresh_log_id=f"{self.replica_id}~{secrets.token_hex(INCARNATION_BYTES)}",
            vector=store.vector,
            floor=store.floor,
            head=store.log_tail.position,
            facts=facts,
            random=SystemRandom(),
            now=monotonic(),
            settings=self._settings,
            expected=1 + len(self._peers),
            alone=not self._listens and not self._peers,
        )
        self._engine = Engine(core, store)
        self.replicator = Replicator(store, self._engine.agreement)
        self._links = links = Links(self._transport, self.replica_id, self._engine.serve, addresses=self._peers)
        tasks = await stack.enter_async_context(_cancelled_at_end())
        tasks.start_soon(watch)
        await tasks.start(self._engine.run, self.replicator)
        tasks.start_soon(self.replicator.run)
        await tasks.start(links.run)
        self._engine.listens_at(self.address)
        if self._discovers is not None:
            discovery = Discovery(self._discovers, self.replica_id, self.address, links.add, links.discard)
            await tasks.start(discovery.run)

    @property
    def address(self) -> str:
        """Where others connect, "host:port"; empty if nobody can."""
        return self._transport.address

    async def members(self) -> list[MemberReport]:
        """Return what is known of every replica of the cluster, this one first, removed ones last."""
        return self._engine.members()

    async def wait_until_held(self, replicas: Replicas, timeout: float = 5.0) -> None:
        """Return when so many replicas, this one included, hold durably what this one holds now.

        So what was persisted in a replicated stream is waited for, as `update` waits for what is done to a key.

        Args:
            replicas: how many, "majority" or "all".
            timeout: how many seconds they are given.

        Raises:
            QuorumTimeoutError: too few of them said so in time; what is recorded here stays and spreads.
            TypeError, ValueError: `replicas` is not a positive number, "majority" or "all", or `timeout` no time.

        Cancellation stops the waiting, and nothing else.
        """
        checked_replicas(replicas)
        store = cast(ReplicaStore, self.journal.store)
        end = monotonic() + checked_timeout(timeout)
        for log_id, number in store.vector.items():
            await self._engine.agreement.acknowledged(log_id, number, replicas, max(0.0, end - monotonic()))

    @property
    def peers(self) -> frozenset[str]:
        """The replica ids of those who are connected now."""
        return self._engine.connected

    @property
    def sent_bytes(self) -> int:
        """How many bytes of messages were sent to peers, without what the transport adds."""
        return self._engine.sent_bytes

    @property
    def refusals(self) -> int:
        """How many peers were refused, or lost their connection by what they sent or did not read."""
        return self._engine.complaints.count + self._links.refusals

    async def remove(self, replica_id: str) -> None:
        """Remove a replica from the cluster for ever.

        What it wrote counts as far as one of the others holds it. It is refused from now on, and nobody waits for it
        any more. It comes back under another replica id only.

        Raises:
            ValueError: it is this replica itself, or no member.
        """
        self._engine.remove(replica_id)

    def __repr__(self) -> str:
        return f"<Node {self.replica_id!r} at {self.address or 'no address'}>"


@asynccontextmanager
async def _cancelled_at_end() -> AsyncIterator[TaskGroup]:
    """A task group whose tasks end with the block; what they raise is raised by it."""
    with single_error():
        async with anyio.create_task_group() as tasks:
            try:
                yield tasks
            finally:
                tasks.cancel_scope.cancel()
