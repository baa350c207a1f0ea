"""Snapshots: states saved beside their streams, so that loading need not replay from the first event.

A snapshot is a cache of what the events say. One that cannot be read, because it is damaged or its class has changed,
is passed over with a warning: replaying the events loses nothing.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from typing_extensions import TypeForm

from calliope.codec import event_classes
from calliope.event import EventDefinition, definition_of
from calliope.limits import POSITION_MAX, SNAPSHOT_BYTES_MAX, STREAM_ID_BYTES_MAX, checked_number, checked_text
from calliope.payload import Decode, checked_encoder, current_decoder, decoder_from, stored_type_of
from calliope.stores.protocol import EventStore, StoredSnapshot
from calliope.upcasting import missing_upcaster

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)

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
        payload = checked_encoder(type(state), SNAPSHOT_BYTES_MAX)(state)
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
            try:
                state: S = _decoded(stored, state_type)
            except Exception as error:
                message = f"snapshot {snapshot_id!r} at {stored.sequence_number} cannot be read: {error}"
                warnings.warn(message, UnreadableSnapshotWarning, stacklevel=2)
            else:
                return Snapshot(snapshot_id, stored.sequence_number, stored.type.name, _time_of(stored), state)
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


def _decoded(stored: StoredSnapshot, state_type: Any) -> Any:
    if stored.payload is None:
        raise ValueError("it does not match its checksum")
    try:
        state_classes = list(event_classes(state_type))
    except TypeError:
        return current_decoder(state_type).one(stored.payload)  # plain data, such as dict[str, int]
    for state_class in state_classes:
        definition = definition_of(state_class)
        if stored.type.name in (definition.name, *definition.aliases):
            return _decoder(state_class, definition, stored.type.schema_version)(stored.payload)
    raise ValueError(f"it is a {stored.type.name!r}, not {' or '.join(c.__name__ for c in state_classes)}")


def _decoder(state_class: type, definition: EventDefinition, from_version: int) -> Decode:
    if from_version > definition.version or missing_upcaster(definition, from_version):
        raise ValueError(f"no upcaster takes version {from_version} to {definition.version}")
    return decoder_from(state_class, definition, from_version).one


def _time_of(stored: StoredSnapshot) -> datetime:
    return _EPOCH + timedelta(microseconds=stored.timestamp)
