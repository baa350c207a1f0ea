"""Conflict policies: what counts of changes that were decided at the same time on several replicas.

After Terry et al., "Managing Update Conflicts in Bayou" (SOSP 1995): every replica puts the changes into one order, and
asks about each that knew too little, by a pure function, what of it counts. Nothing is undone, the journal keeps what
happened everywhere; but it is the policy that says what it means.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from crdts import VersionVector

State = TypeVar("State")
Event = TypeVar("Event")


@dataclass(frozen=True)
class Change(Generic[Event]):
    """What one command led to, on one replica.

    Attributes:
        id: the id of its first event; that of a command that was carried out on two replicas at once is the same.
        events: the events, in order.
        replica_id: who carried the command out.
        timestamp: when, by that replica's clock.
        metadata: the metadata of the events.
        version: what that replica had observed of the stream, these events included.
        place: where it comes in the order that is the same on all replicas.
    """

    id: str
    events: tuple[Event, ...]
    replica_id: str
    timestamp: datetime
    metadata: Mapping[str, Any] = field(repr=False)
    version: VersionVector
    place: tuple[int, datetime, str, str] = field(repr=False)


ConflictPolicy = Callable[[State, Change[Event]], Event | Sequence[Event] | None]
"""Given the state before a change, and the change, which was decided on another state, returns the events that count.

The change has not observed everything that counts before it, so its reasons may not hold any more. Return its `events`
if it may stand all the same, none of them if it may not, or others in their place: part of them, or compensating ones.

A policy is pure and reads nothing but its arguments, it never raises, and it is the same on all replicas: then, and
only then, all replicas that hold the same events have the same state.
"""


def all_stand(state: object, change: Change[Event]) -> Sequence[Event]:
    """Let every change stand: for aggregates whose events do not disturb one another."""
    return change.events


def first_stands(state: object, change: Change[Event]) -> Sequence[Event]:
    """Let of changes that disturb one another the first in the order stand, and nothing of the others count."""
    return ()
