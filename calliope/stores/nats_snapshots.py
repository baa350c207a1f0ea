"""`NatsSnapshots`: states, beside the events.

A snapshot is one message; a large one has its payload in further messages, its *parts*, on subjects of their own that
are stored before. What ties it together is the CRC-32 over all that is served. Saved again under its number it is
replaced: the new parts first, then the message that names them, then the old parts are removed. A crash in between
leaves parts that nobody names; they go when the snapshot is deleted.
"""

import asyncio
import secrets
from dataclasses import dataclass

import msgspec

from calliope.errors import StorageError
from calliope.stores.nats_connection import NatsConnection
from calliope.stores.nats_errors import ServerError, refusal
from calliope.stores.nats_log import NatsLog, asked_of_jetstream
from calliope.stores.nats_publishing import Publisher
from calliope.stores.nats_streams import notes_of, subjects_of
from calliope.stores.nats_subjects import NatsSubjects
from calliope.stores.protocol import StoredSnapshot
from calliope.stores.record import StoredType
from calliope.stores.snapshot_rows import snapshot_checksum

PART_BYTES = 512 * 1024
"""How many bytes of a payload one message holds at most."""

PARTS_TOGETHER_MAX = 8
"""How many parts are written or read at once."""

ATTEMPTS = 3
"""How often a snapshot is read that is being replaced meanwhile."""


class _Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot as it is stored.

    Attributes:
        save: names the parts.
        parts: how many there are; 0: the payload is here.
    """

    snapshot_id: str
    sequence_number: int
    type: tuple[str, int]
    timestamp: int
    checksum: int
    save: str
    parts: int
    payload: bytes


class _Purged(msgspec.Struct):
    error: ServerError | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Snapshot).decode
_decode_purged = msgspec.json.Decoder(_Purged).decode


@dataclass(frozen=True, slots=True)
class _Kept:
    """A snapshot that was found; None: it is damaged."""

    number: int
    stored: _Snapshot | None


class NatsSnapshots:
    """Keeps snapshots. Used in the store's thread.

    Args:
        publisher: publishes them.
        notes: where they are.
        subjects: their subjects.
    """

    def __init__(self, publisher: Publisher, notes: NatsLog, subjects: NatsSubjects) -> None:
        self._publisher = publisher
        self._connection: NatsConnection = publisher.connection
        self._notes = notes
        self._subjects = subjects

    async def save(self, snapshot: StoredSnapshot) -> None:
        """Keep a snapshot; see `EventStore.save_snapshot`."""
        before = await self._kept(snapshot.snapshot_id, snapshot.sequence_number)
        payload, save = snapshot.payload or b"", secrets.token_hex(8)
        parts = [payload[start : start + PART_BYTES] for start in range(0, len(payload), PART_BYTES)]
        if len(parts) > 1:
            await self._save_parts(snapshot, save, parts)
        stored = _Snapshot(
            snapshot.snapshot_id,
            snapshot.sequence_number,
            snapshot.type,
            snapshot.timestamp,
            snapshot_checksum(snapshot),
            save,
            len(parts) if len(parts) > 1 else 0,
            b"" if len(parts) > 1 else payload,
        )
        await self._publish(self._subject(snapshot.snapshot_id, snapshot.sequence_number), _encode(stored))
        if before is not None and before.stored is not None and before.stored.parts:
            await self._purge(
                self._subject(snapshot.snapshot_id, snapshot.sequence_number, f"c.{before.stored.save}.*")
            )

    async def load(self, snapshot_id: str, through: int) -> StoredSnapshot | None:
        """Return the newest snapshot up to a number; see `EventStore.load_snapshot`."""
        numbers = [number for number in await self._numbers(snapshot_id) if number <= through]
        for attempt in range(1, ATTEMPTS + 1):
            kept = await self._kept(snapshot_id, numbers[0]) if numbers else None
            if kept is None:
                return None
            snapshot = await self._read(snapshot_id, kept)
            if snapshot.payload is not None or attempt == ATTEMPTS:
                return snapshot
        raise AssertionError

    async def listed(self, snapshot_id: str) -> list[StoredSnapshot]:
        """Return all snapshots of an id without their payloads; see `EventStore.list_snapshots`."""
        found = [await self._kept(snapshot_id, number) for number in await self._numbers(snapshot_id)]
        return [_without_payload(snapshot_id, kept) for kept in found if kept is not None]

    async def delete(self, snapshot_id: str, keep: int) -> int:
        """Delete older snapshots; see `EventStore.delete_snapshots`."""
        superfluous = (await self._numbers(snapshot_id))[keep:]
        for number in superfluous:
            await self._purge(self._subject(snapshot_id, number))
            await self._purge(self._subject(snapshot_id, number, "c.>"))
        return len(superfluous)

    def _subject(self, snapshot_id: str, number: int, rest: str = "m") -> str:
        return self._subjects.of_snapshot(snapshot_id, number, rest)

    async def _numbers(self, snapshot_id: str) -> list[int]:
        """Return the sequence numbers of an id's snapshots, the newest first."""
        name = notes_of(self._connection.address.name)
        subjects = await subjects_of(self._connection, name, self._subjects.of_snapshot(snapshot_id))
        return sorted([number for _, number in filter(None, map(self._subjects.snapshot_in, subjects))], reverse=True)

    async def _kept(self, snapshot_id: str, number: int) -> _Kept | None:
        raw = await self._notes.last(self._subject(snapshot_id, number))
        if raw is None:
            return None
        try:
            stored = _decode(raw.data)
        except msgspec.DecodeError:
            return _Kept(number, None)
        same = (stored.snapshot_id, stored.sequence_number) == (snapshot_id, number)
        return _Kept(number, stored if same else None)

    async def _read(self, snapshot_id: str, kept: _Kept) -> StoredSnapshot:
        """Return a snapshot; one that is not whole has no payload."""
        stored, snapshot = kept.stored, _without_payload(snapshot_id, kept)
        if stored is None:
            return snapshot
        payload: bytes | None = stored.payload
        if stored.parts:
            payload = await self._parts(stored)
        if payload is None:
            return snapshot
        whole = msgspec.structs.replace(snapshot, payload=payload)
        return whole if snapshot_checksum(whole) == stored.checksum else snapshot

    async def _parts(self, stored: _Snapshot) -> bytes | None:
        payloads: list[bytes] = []
        for start in range(0, stored.parts, PARTS_TOGETHER_MAX):
            numbers = range(start, min(start + PARTS_TOGETHER_MAX, stored.parts))
            subjects = [self._part(stored.snapshot_id, stored.sequence_number, stored.save, n) for n in numbers]
            for raw in await asyncio.gather(*map(self._notes.last, subjects)):
                if raw is None:
                    return None
                payloads.append(raw.data)
        return b"".join(payloads)

    async def _save_parts(self, snapshot: StoredSnapshot, save: str, parts: list[bytes]) -> None:
        for start in range(0, len(parts), PARTS_TOGETHER_MAX):
            together = enumerate(parts[start : start + PARTS_TOGETHER_MAX], start)
            await asyncio.gather(
                *[
                    self._publish(self._part(snapshot.snapshot_id, snapshot.sequence_number, save, number), part)
                    for number, part in together
                ]
            )

    def _part(self, snapshot_id: str, sequence_number: int, save: str, number: int) -> str:
        return self._subject(snapshot_id, sequence_number, f"c.{save}.{number}")

    async def _publish(self, subject: str, payload: bytes) -> None:
        if await self._publisher.publish([(subject, payload)], None) is None:
            raise StorageError(f"{self._connection.address.shown} expects another message before a snapshot")

    async def _purge(self, subject: str) -> None:
        name = notes_of(self._connection.address.name)
        question = {"filter": subject}
        answer = await asked_of_jetstream(self._connection, f"$JS.API.STREAM.PURGE.{name}", question, _decode_purged)
        if answer.error is not None:
            raise refusal(answer.error, self._connection.address.shown, doing="to delete a snapshot")


def _without_payload(snapshot_id: str, kept: _Kept) -> StoredSnapshot:
    stored = kept.stored
    if stored is None:
        return StoredSnapshot(snapshot_id, kept.number, StoredType("", 0), 0, None)
    return StoredSnapshot(snapshot_id, kept.number, StoredType(*stored.type), stored.timestamp, None)
