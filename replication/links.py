"""Who is connected with whom: every known address is dialled until somebody answers, and again when he is gone.

Two replicas may dial each other at one moment, or one of them twice by two names. One connection a pair stays, and both
sides decide alike which, without asking:

    made within `SIMULTANEOUS_SECONDS`, by different sides    the one that the smaller replica id dialled
    otherwise                                                 the newer: who dials anew has lost the older

An address at which a connected replica is known to live is not dialled while it is connected, so this settles at once.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup, TaskStatus
from anyio.lowlevel import checkpoint

from calliope.flow.clock import LOOP_CLOCK, Clock
from calliope.flow.retrying import Backoff
from replication.complaints import Complaints
from replication.errors import ConnectionLostError, PeerError, PeerRefusedError
from replication.transports.protocol import Connection, Transport

ADDRESSES_MAX = 1024
"""Addresses that are dialled."""

SIMULTANEOUS_SECONDS = 5.0

STEADY_SECONDS = 10.0
"""A connection that lasted so long was a success: the next pause is the shortest again."""

DIALLING = Backoff(first_seconds=0.1, longest_seconds=10.0, jitter=0.5)
"""Pauses between attempts to connect."""

REFUSED = Backoff(first_seconds=10.0, longest_seconds=120.0, jitter=0.5)
"""… with one who is not ours: somebody has to configure something first."""

_log = logging.getLogger("replication.links")


@dataclass(eq=False)
class _Link:
    connection: Connection
    dialled_by: str
    since: float
    over: anyio.Event
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class Links:
    """Keeps connections: at most one a peer.

    Args:
        transport: makes them and takes them; closed by `run`.
        replica_id: this replica.
        on_connection: serves a connection until it is over; the next one with the same peer begins only then. If it
            raises a `PeerError` the connection is closed; any other error ends `run`.
        addresses: what is dialled from the start.
        dialling: pauses between attempts.
        refused: pauses after a refusal.
        clock: by which pauses are made.
        random: numbers from 0 to 1.
    """

    def __init__(
        self,
        transport: Transport,
        replica_id: str,
        on_connection: Callable[[Connection], Awaitable[None]],
        *,
        addresses: Iterable[str] = (),
        dialling: Backoff = DIALLING,
        refused: Backoff = REFUSED,
        clock: Clock = LOOP_CLOCK,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._transport = transport
        self._replica_id = replica_id
        self._on_connection = on_connection
        self._dialling = dialling
        self._refused = refused
        self._clock = clock
        self._random = random
        self._links: dict[str, _Link] = {}
        self._lives_at: dict[str, str] = {}
        self._configured = frozenset(addresses := tuple(addresses))
        self._dialled: dict[str, anyio.CancelScope] = {address: anyio.CancelScope() for address in addresses}
        self._group: TaskGroup | None = None
        self._complaints = Complaints(_log, clock.now)

    @property
    def connections(self) -> dict[str, Connection]:
        """The connections, by the replica id of the peer."""
        return {replica_id: link.connection for replica_id, link in self._links.items()}

    @property
    def refusals(self) -> int:
        """How many peers were refused, or ended a connection by what they did."""
        return self._complaints.count + self._transport.refusals

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that are dialled; ours is forgotten once it is recognised."""
        return tuple(self._dialled)

    def add(self, address: str) -> bool:
        """Dial an address from now on; say whether it is dialled: there may be too many."""
        if address in self._dialled:
            return True
        if len(self._dialled) >= ADDRESSES_MAX or address == self._transport.address:
            return False
        self._dialled[address] = scope = anyio.CancelScope()
        if self._group is not None:
            self._group.start_soon(self._dial, address, scope)
        return True

    def discard(self, address: str) -> None:
        """Dial an address no more, unless it was given from the start: an announcement that ends says less than that.

        A connection with who lives there stays as long as it holds.
        """
        if address in self._configured:
            return
        scope = self._dialled.pop(address, None)
        self._lives_at.pop(address, None)
        if scope is not None:
            scope.cancel()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Listen, dial and keep connections until cancelled; then close all, and the transport.

        Raises:
            ListenError: the address cannot be listened on.
        """
        try:
            async with anyio.create_task_group() as self._group:
                await self._transport.start(self._accept)
                for address, scope in self._dialled.items():
                    self._group.start_soon(self._dial, address, scope)
                task_status.started()
                await anyio.sleep_forever()
        finally:
            self._group = None
            with anyio.CancelScope(shield=True):
                await self._transport.aclose()

    async def _accept(self, connection: Connection) -> None:
        """Serve what a peer has dialled; the transport's task waits for it."""
        await self._served(connection, connection.replica_id)

    async def _served(self, connection: Connection, dialled_by: str) -> None:
        """Serve a connection in a task of its own; who is cancelled stops waiting for it."""
        if self._group is None:
            await connection.aclose()
            return
        over = anyio.Event()
        self._group.start_soon(self._serve, connection, dialled_by, over)
        await over.wait()

    async def _dial(self, address: str, scope: anyio.CancelScope) -> None:
        with scope:
            failures = 0
            said_at = logging.INFO
            while True:
                await self._is_needed(address)
                begun = self._clock.now()
                backoff = self._dialling
                try:
                    connection = await self._transport.connect(address)
                    said_at = logging.INFO
                    self._lives_at[address] = connection.replica_id
                    await self._served(connection, self._replica_id)
                except PeerRefusedError as error:
                    if error.is_ourselves:
                        break
                    backoff = self._refused
                except ConnectionLostError as error:
                    _log.log(said_at, "%s; it is tried again until somebody answers", error)
                    said_at = logging.DEBUG  # once, until somebody has answered
                except ValueError as error:
                    self._complaints.add(address, str(error))
                    break
                failures = 1 if self._clock.now() - begun > STEADY_SECONDS else failures + 1
                await self._clock.sleep(backoff.pause_seconds(failures, self._random()))
        if self._dialled.get(address) is scope:
            del self._dialled[address]
            self._lives_at.pop(address, None)

    async def _is_needed(self, address: str) -> None:
        """Return when nobody who is known to live at an address is connected."""
        while (link := self._links.get(self._lives_at.get(address, ""))) is not None:
            await link.over.wait()

    async def _serve(self, connection: Connection, dialled_by: str, over: anyio.Event) -> None:
        link = _Link(connection, dialled_by, self._clock.now(), over)
        older = self._links.get(connection.replica_id)
        try:
            if older is not None and not _replaces(link, older):
                await connection.aclose("another connection between the two is kept")
                return
            self._links[connection.replica_id] = link
            if connection.peer_address in self._dialled:
                self._lives_at[connection.peer_address] = connection.replica_id
            with link.scope:
                await self._serve_after(link, older)
        finally:
            if self._links.get(connection.replica_id) is link:
                del self._links[connection.replica_id]
            link.over.set()

    async def _serve_after(self, link: _Link, older: _Link | None) -> None:
        try:
            if older is not None:
                older.scope.cancel()
                with anyio.CancelScope(shield=True):  # also if a newer one cancels this: that one waits for both
                    await older.over.wait()
                await checkpoint()
            await self._on_connection(link.connection)
        except PeerError as error:
            self._complaints.add(link.connection.replica_id, str(error))
        finally:
            with anyio.CancelScope(shield=True):
                await link.connection.aclose()


def _replaces(newer: _Link, older: _Link) -> bool:
    if newer.dialled_by != older.dialled_by and newer.since - older.since < SIMULTANEOUS_SECONDS:
        return newer.dialled_by < older.dialled_by
    return True
