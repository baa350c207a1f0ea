"""A simulated network: connections between pairs of replicas, over which messages are late, lost, or twice.

What was sent over one connection never arrives over a later one. An *ordered* network is like TCP: it keeps the order,
and what it cannot deliver ends the connection. One that is not ordered loses, repeats and overtakes.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Protocol

from replication import wire
from replication.core.messages import Entries, Message
from replication.testing.virtual_time import VirtualTime

Pair = tuple[str, str]
"""Two replicas; of a connection, in alphabetical order; of a direction, from and to."""


@dataclass(frozen=True, slots=True)
class NetworkFaults:
    """What goes wrong with messages.

    Attributes:
        delay_seconds: the least and the most that a message takes.
        loss: the part of the messages that is lost.
        duplication: the part that arrives twice.
        ordered: whether order is kept, and a loss ends the connection.
        through_bytes: whether messages are encoded and decoded on their way.
    """

    delay_seconds: tuple[float, float] = (0.001, 0.05)
    loss: float = 0.0
    duplication: float = 0.0
    ordered: bool = True
    through_bytes: bool = False


class Receiver(Protocol):
    """Whom connections end at."""

    def connected(self, sender: str, receiver: str) -> None:
        """`receiver` learns that it is connected with `sender`."""
        ...

    def disconnected(self, sender: str, receiver: str) -> None:
        """`receiver` learns that its connection with `sender` is gone."""
        ...

    def received(self, sender: str, receiver: str, message: Message) -> None:
        """`receiver` gets a message of `sender`."""
        ...

    def broken(self, one: str, other: str) -> None:
        """A connection has broken, and both sides know."""
        ...


@dataclass(slots=True)
class Connection:
    """A connection.

    Attributes:
        pair: whose it is.
        is_alive: whether anything still arrives.
        open_at: the sides that know that it is there.
        closed_at: the sides that know that it is gone.
        last_arrival: when the last message arrives at a side.
        under_way: bytes of entries on their way to a side.
        early: from whom what has arrived at a side that does not know of the connection yet.
    """

    pair: Pair
    is_alive: bool = True
    open_at: set[str] = field(default_factory=set)
    closed_at: set[str] = field(default_factory=set)
    last_arrival: dict[str, float] = field(default_factory=dict)
    under_way: dict[str, int] = field(default_factory=dict)
    early: list[tuple[str, str, Message]] = field(default_factory=list)


class Network:
    """Carries messages.

    Args:
        time: virtual time.
        random: where chance comes from.
        receiver: whom connections end at.
        faults: what goes wrong.

    Attributes:
        blocked: the directions in which nothing passes.
        most_under_way: the most bytes of entries that were on their way in one direction of a connection.
    """

    def __init__(self, time: VirtualTime, random: Random, receiver: Receiver, faults: NetworkFaults) -> None:
        self._time = time
        self._random = random
        self._receiver = receiver
        self._connections: dict[Pair, Connection] = {}
        self.faults = faults
        self.blocked: set[Pair] = set()
        self.most_under_way = 0

    def is_connected(self, one: str, other: str) -> bool:
        """Say whether two replicas have a connection, or are not both through with the last one."""
        return _pair(one, other) in self._connections

    def connect(self, one: str, other: str) -> bool:
        """Connect two replicas, if something passes between them; one of them learns it first."""
        pair = _pair(one, other)
        if pair in self._connections or self._is_blocked(one, other):
            return False
        connection = self._connections[pair] = Connection(pair)
        for side, peer in self._sides(pair):
            self._time.after(self._late(), self._open, connection, peer, side)
        return True

    def disconnect(self, one: str, other: str) -> None:
        """End a connection; what is under way on it is lost."""
        connection = self._connections.get(_pair(one, other))
        if connection is not None and connection.is_alive:
            connection.is_alive = False
            for side, peer in self._sides(connection.pair):
                self._time.after(self._late(), self._close, connection, peer, side)

    def disconnect_all(self, replica_id: str) -> None:
        """End all connections of a replica."""
        for one, other in list(self._connections):
            if replica_id in (one, other):
                self.disconnect(one, other)

    def block(self, sender: str, receiver: str) -> None:
        """Let nothing pass in one direction."""
        self.blocked.add((sender, receiver))

    def heal(self) -> None:
        """Let everything pass."""
        self.blocked.clear()

    def send(self, sender: str, receiver: str, message: Message) -> None:
        """Carry a message, if there is a connection; it may never arrive."""
        connection = self._connections.get(_pair(sender, receiver))
        if connection is None or not connection.is_alive:
            return
        if self.faults.through_bytes:
            message = wire.decode(wire.encode(message))
        if (sender, receiver) in self.blocked or self._happens(self.faults.loss):
            if self.faults.ordered:
                self.disconnect(sender, receiver)
        else:
            self._post(connection, sender, receiver, message)
            if not self.faults.ordered and self._happens(self.faults.duplication):
                self._post(connection, sender, receiver, message)

    def _post(self, connection: Connection, sender: str, receiver: str, message: Message) -> None:
        arrival = self._time.now + self._late()
        if self.faults.ordered:
            arrival = max(arrival, connection.last_arrival.get(receiver, 0.0))
            connection.last_arrival[receiver] = arrival
        if type(message) is Entries:
            byte_count = sum([len(entry.body) for entry in message.entries])
            connection.under_way[receiver] = connection.under_way.get(receiver, 0) + byte_count
            self.most_under_way = max(self.most_under_way, connection.under_way[receiver])
        self._time.after(arrival - self._time.now, self._arrive, connection, sender, receiver, message)

    def _arrive(self, connection: Connection, sender: str, receiver: str, message: Message) -> None:
        if not connection.is_alive:
            return
        if receiver not in connection.open_at:
            connection.early.append((sender, receiver, message))
            return
        if type(message) is Entries:
            connection.under_way[receiver] -= sum([len(entry.body) for entry in message.entries])
        self._receiver.received(sender, receiver, message)

    def _open(self, connection: Connection, sender: str, receiver: str) -> None:
        if connection.is_alive:
            connection.open_at.add(receiver)
            self._receiver.connected(sender, receiver)
            early, connection.early = connection.early, []
            for message in early:
                self._arrive(connection, *message)

    def _close(self, connection: Connection, sender: str, receiver: str) -> None:
        if receiver in connection.open_at:
            connection.open_at.discard(receiver)
            self._receiver.disconnected(sender, receiver)
        connection.closed_at.add(receiver)
        if len(connection.closed_at) == len(connection.pair):
            del self._connections[connection.pair]
            self._receiver.broken(*connection.pair)

    def _is_blocked(self, one: str, other: str) -> bool:
        return (one, other) in self.blocked or (other, one) in self.blocked

    def _sides(self, pair: Pair) -> tuple[Pair, Pair]:
        one, other = pair
        return ((one, other), (other, one)) if self._happens(0.5) else ((other, one), (one, other))

    def _late(self) -> float:
        least, most = self.faults.delay_seconds
        return least + (most - least) * self._random.random() if most > 0 else 0.0

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability


def _pair(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


def topology(shape: str, names: list[str], random: Random | None = None) -> list[Pair]:
    """Return who is connected with whom: in a "mesh", "ring", "line", "star", or "random" graph of about degree 4.

    Args:
        shape: which of these.
        names: the replicas; those of a line or ring in its order, the middle of a star first.
        random: draws the random graph.

    Raises:
        ValueError: there is no such shape.
    """
    along = list(pairwise(names))
    if shape == "mesh":
        return [(one, other) for place, one in enumerate(names) for other in names[place + 1 :]]
    if shape == "line":
        return along
    if shape == "ring":
        return [*along, (names[0], names[-1])] if len(names) > 2 else along
    if shape == "star":
        return [(names[0], other) for other in names[1:]]
    if shape == "random" and random is not None:
        chords = {_pair(*random.sample(names, 2)) for _ in names}
        return sorted({_pair(*edge) for edge in along} | chords)
    raise ValueError(f"a topology is a mesh, ring, line, star or random, not {shape!r}")
