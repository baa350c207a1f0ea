"""Snapshots: states saved beside their streams, so that loading need not replay from the first event.

A snapshot is a cache of what the events say. One that cannot be read, because it is damaged or its class has changed,
is passed over with a warning: replaying the events loses nothing.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Generic, TypeVar

from typing_extensions import TypeForm

from calliope.codec import event_classes
from calliope.event import EventDefinition, definition_of
from calliope.limits import POSITION_MAX, SNAPSHOT_BYTES_MAX, STREAM_ID_BYTES_MAX, checked_number, checked_text
from calliope.payload import Decode, Encode, checked_encoder, current_decoder, decoder_from, stored_type_of
from calliope.recorded_event import RecordedEvent
from calliope.stores.protocol import EventStore, StoredSnapshot
from calliope.stores.record import StoredType
from calliope.upcasting import missing_upcaster

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)
E_co = TypeVar("E_co", covariant=True)

STATE_TYPES_REMEMBERED_MAX = 1_024
"""For how many types of states it is remembered how they are encoded and decoded."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UnreadableSnapshotWarning(UserWarning):
    """A snapshot could not be read and was passed over; nothing is lost, loading takes longer."""


@dataclass(frozen=True)
class SnapshotSummary:
    """A snapshot without its state.

    Attributes:
        snapshot_id: whose state; usually a stream id.
        sequence_number: the last event that the state has seen.
        type: the stored type name of the state.
        timestamp: when it was saved; aware, in UTC.
    """

    snapshot_id: str
    sequence_number: int
    type: str
    timestamp: datetime


@dataclass(frozen=True)
class Snapshot(SnapshotSummary, Generic[S_co]):
    """A saved state.

    Attributes:
        state: the state.
    """

    state: S_co


@dataclass(frozen=True)
class Restored(Generic[S_co, E_co]):
    """What a state is restored from: a snapshot and the events behind it, read together.

    Attributes:
        snapshot: the newest snapshot that could be read; None if there is none.
        records: with a snapshot, the events of the stream from the last one on that it has seen, that one included if
            the stream holds it; without one, from the first event on.
        complete: whether these were all when they were read. If not, there are more, or one of them does not decode:
            reading on after the last one tells.
    """

    snapshot: Snapshot[S_co] | None
    records: list[RecordedEvent[E_co]]
    complete: bool


class SnapshotStore:
    """The snapshots of one journal; get it as `journal.snapshots`."""

    def __init__(self, store: EventStore, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    async def save_snapshot(
        self, snapshot_id: str, state: Any, *, sequence_number: int, keep: int | None = None
    ) -> None:
        """Save a state durably.

        Args:
            snapshot_id: whose state; usually a stream id.
            state: an object of a class that events can have, or plain data.
            sequence_number: the last event that the state has seen. A snapshot that was saved for it is replaced.
            keep: when given, delete all but the newest so many snapshots of this id.

        Raises:
            EventEncodingError: the state cannot be stored; nothing was written.
            TypeError, ValueError: an argument is not legal; nothing was written.

        Cancellation leaves the snapshot saved or not saved, never half.
        """
        checked_text("snapshot_id", snapshot_id, STREAM_ID_BYTES_MAX)
        checked_number("sequence_number", sequence_number)
        if keep is not None:
            checked_number("keep", keep, minimum=1)
        state_class: Any = type(state)
        payload = _encoder(state_class)(state)
        snapshot = StoredSnapshot(snapshot_id, sequence_number, stored_type_of(type(state)), self._clock(), payload)
        await self._store.save_snapshot(snapshot)
        if keep is not None:
            await self._store.delete_snapshots(snapshot_id, keep=keep)

    async def load_snapshot(self, snapshot_id: str, state_type: TypeForm[S]) -> Snapshot[S] | None:
        """Return the newest snapshot that can be read as `state_type`, or None.

        Args:
            snapshot_id: whose state.
            state_type: the class of the state, a union of classes, or the type of plain data.

        Warns:
            UnreadableSnapshotWarning: for each newer one that cannot be read.
        """
        checked_text("snapshot_id", snapshot_id, STREAM_ID_BYTES_MAX)
        through = POSITION_MAX
        while (stored := await self._store.load_snapshot(snapshot_id, through=through)) is not None:
            through = stored.sequence_number - 1
            snapshot = decoded_snapshot(stored, state_type)
            if snapshot is not None:
                return snapshot
        return None

    async def list_snapshots(self, snapshot_id: str) -> list[SnapshotSummary]:
        """Return all snapshots of an id, the newest first."""
        checked_text("snapshot_id", snapshot_id, STREAM_ID_BYTES_MAX)
        found = await self._store.list_snapshots(snapshot_id)
        return [SnapshotSummary(snapshot_id, s.sequence_number, s.type.name, _time_of(s)) for s in found]

    async def delete_snapshots(self, snapshot_id: str, *, keep: int = 0) -> int:
        """Delete all but the newest `keep` snapshots of an id; return how many were deleted."""
        checked_text("snapshot_id", snapshot_id, STREAM_ID_BYTES_MAX)
        checked_number("keep", keep)
        return await self._store.delete_snapshots(snapshot_id, keep=keep)


def decoded_snapshot(stored: StoredSnapshot, state_type: TypeForm[S]) -> Snapshot[S] | None:
    """Return a snapshot with its state; None, with a warning that points at who loads it, if it cannot be read."""
    try:
        if stored.payload is None:
            raise ValueError("it does not match its checksum")
        state: S = _decoder(state_type, stored.type)(stored.payload)
    except Exception as error:
        message = f"snapshot {stored.snapshot_id!r} at {stored.sequence_number} cannot be read: {error}"
        warnings.warn(message, UnreadableSnapshotWarning, stacklevel=3)
        return None
    return Snapshot(stored.snapshot_id, stored.sequence_number, stored.type.name, _time_of(stored), state)


@lru_cache(STATE_TYPES_REMEMBERED_MAX)
def _encoder(state_class: Any) -> Encode:
    return checked_encoder(state_class, SNAPSHOT_BYTES_MAX)


def _decoder(state_type: Any, stored_type: StoredType) -> Decode:
    try:
        hash(state_type)
    except TypeError:  # such as an Annotated type with a dict among its metadata
        return _new_decoder(state_type, stored_type)
    return _remembered_decoder(state_type, stored_type)


def _new_decoder(state_type: Any, stored_type: StoredType) -> Decode:
    try:
        state_classes = list(event_classes(state_type))
    except TypeError:
        return current_decoder(state_type).one  # plain data, such as dict[str, int]
    for state_class in state_classes:
        definition = definition_of(state_class)
        if stored_type.name in (definition.name, *definition.aliases):
            return _decoder_from(state_class, definition, stored_type.schema_version)
    raise ValueError(f"it is a {stored_type.name!r}, not {' or '.join(c.__name__ for c in state_classes)}")


_remembered_decoder = lru_cache(STATE_TYPES_REMEMBERED_MAX)(_new_decoder)


def _decoder_from(state_class: type, definition: EventDefinition, from_version: int) -> Decode:
    if from_version > definition.version or missing_upcaster(definition, from_version):
        raise ValueError(f"no upcaster takes version {from_version} to {definition.version}")
    return decoder_from(state_class, definition, from_version).one


def _time_of(stored: StoredSnapshot) -> datetime:
    return _EPOCH + timedelta(microseconds=stored.timestamp)
