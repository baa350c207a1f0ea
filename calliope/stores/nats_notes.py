"""`NatsNotes`: what commits of a replica's log say of streams, event ids, states and facts, where readers find it.

Each is a note on a subject of its own, of which the last message counts: the CRC-32 of its body and the body, a msgpack
array that begins with the number of the commit that says so. A note is replaced only by that of a later commit, and
only if it is still the one that was looked at. So a commit may be carried out by several processes, and more than once.

A server of a cluster that has just lost its lead may still answer, with what was. What a commit is decided on must not
be out of date, so a note on writers is confirmed in a cluster: it is stored again, behind itself.

A state that is too large for a message has its body in parts, which are stored before.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from random import uniform
from typing import Any, TypeVar
from zlib import crc32

import msgspec

from calliope.errors import CorruptJournalError
from calliope.stores.nats_connection import Pauses
from calliope.stores.nats_errors import NoAnswerError, ServerError, refusal
from calliope.stores.nats_log import NatsLog, asked_of_jetstream
from calliope.stores.nats_message import CHECKSUM_BYTES
from calliope.stores.nats_publishing import Publisher
from calliope.stores.nats_streams import notes_of
from calliope.stores.nats_subjects import NatsSubjects
from calliope.stores.replica_store import StoredState
from calliope.stores.state_rows import checked_state, state_checksum
from calliope.stores.stream_versions import StreamVersions, WriterVersion

PART_BYTES = 900 * 1024
"""How many bytes of a state one message holds at most."""

TOGETHER_MAX = 64
"""How many notes are looked up or written at once."""

OVERTAKEN_SECONDS = 0.002
"""How long it waits at most before it tries again to confirm a note, when somebody else was faster."""

NOTES_REMEMBERED_MAX = 65_536
"""Of how many notes it is remembered where the last one is."""

T = TypeVar("T")

Versions = dict[str, tuple[int, bytes, dict[str, int]]]
"""Counter, token and observed counters of writers."""


class _Numbered(msgspec.Struct, frozen=True, array_like=True):
    commit: int


class VersionsNote(_Numbered, frozen=True, array_like=True):
    """How far a replicated stream has come, to which sequence number, and each of its writers."""

    last: int
    writers: Versions

    @property
    def versions(self) -> StreamVersions:
        """The writers."""
        return StreamVersions({writer: WriterVersion(*version) for writer, version in self.writers.items()})


class EventIdNote(_Numbered, frozen=True, array_like=True):
    """Which events of a replicated stream an event id names."""

    stream_id: str
    event_id: str
    first: int
    count: int


class StateNote(_Numbered, frozen=True, array_like=True):
    """The state of a CRDT key; its body is in so many parts, or here."""

    type_name: str
    checksum: int
    parts: int
    body: bytes


class FactNote(_Numbered, frozen=True, array_like=True):
    """A fact; None: it is forgotten."""

    fact: bytes | None


class _Purged(msgspec.Struct):
    error: ServerError | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode_purged = msgspec.json.Decoder(_Purged).decode
_decode_number = msgspec.msgpack.Decoder(_Numbered).decode
_decode_versions = msgspec.msgpack.Decoder(VersionsNote).decode
_decode_event_id = msgspec.msgpack.Decoder(EventIdNote).decode
_decode_state = msgspec.msgpack.Decoder(StateNote).decode
_decode_fact = msgspec.msgpack.Decoder(FactNote).decode


class NatsNotes:
    """Reads and writes notes. Used in the store's thread.

    Args:
        publisher: publishes them.
        notes: where they are.
        subjects: their subjects.
    """

    def __init__(self, publisher: Publisher, notes: NatsLog, subjects: NatsSubjects) -> None:
        self._publisher = publisher
        self._connection = publisher.connection
        self._notes = notes
        self._subjects = subjects
        self._places: dict[str, int] = {}

    def forget(self) -> None:
        """Remember of no note where it is: others wrote."""
        self._places.clear()

    async def versions(self, stream_id: str) -> StreamVersions:
        """Return how far the writers of a replicated stream have come."""
        note = await self._read(self._subjects.versions.of(stream_id), _decode_versions)
        return StreamVersions() if note is None else note.versions

    async def confirmed_versions(self, stream_id: str) -> VersionsNote:
        """Return how far a replicated stream has come, for sure; without events it has come to 0.

        Raises:
            NoAnswerError: it is not confirmed in time.
        """
        subject = self._subjects.versions.of(stream_id)
        pauses = Pauses(self._connection.address.timeout_seconds)
        while True:
            raw = await self._notes.last(subject)
            note = VersionsNote(0, 0, {}) if raw is None else _decoded(subject, raw.data, _decode_versions)
            if not self._notes.is_replicated:
                return note
            sequence = await self._publisher.publish([(subject, _noted(note))], raw.sequence if raw else 0, pauses)
            if sequence is not None:
                self._places[subject] = sequence
                return note
            if pauses.over:
                raise NoAnswerError("others write all the time", was_sent=False)
            await asyncio.sleep(uniform(0.0, OVERTAKEN_SECONDS))

    async def named(self, stream_id: str, event_id: str) -> tuple[int, int] | None:
        """Return the number of the first event that an id names in a replicated stream, and how many it names.

        Raises:
            CorruptJournalError: the note is about another event.
        """
        note = await self._read(self._subjects.of_event_id(stream_id, event_id, "replicated"), _decode_event_id)
        if note is None:
            return None
        if (note.stream_id, note.event_id) != (stream_id, event_id):
            raise CorruptJournalError(f"the note on {event_id!r} is about {note.event_id!r}")
        return note.first, note.count

    async def state(self, key: str, *, body: bool = True) -> StoredState | None:
        """Return the state of a CRDT key, or None; without its body, if that is not wanted.

        Raises:
            CorruptJournalError: it does not match its checksum.
        """
        pauses = Pauses(self._connection.address.timeout_seconds)
        while True:
            note = await self._read(self._subjects.states.of(key), _decode_state)
            if note is None:
                return None
            if not body:
                return StoredState(key, note.type_name, b"")
            stored = note.body if not note.parts else await self._joined(key, note)
            if stored is not None:
                return checked_state((key, note.type_name, stored, note.checksum))
            if pauses.over:
                raise CorruptJournalError(f"the state of key {key!r} is not whole")
            await pauses.pause()  # it was just replaced

    async def fact(self, name: str) -> bytes | None:
        """Return a fact, or None."""
        note = await self._read(self._subjects.facts.of(name), _decode_fact)
        return None if note is None else note.fact

    async def put_versions(
        self, commit: int, stream_id: str, last: int, changes: Versions, known: StreamVersions | None
    ) -> None:
        """Note how far a replicated stream has come.

        Args:
            commit: the number of the commit.
            stream_id: the stream.
            last: its last sequence number.
            changes: how far some writers have come.
            known: how far all of them have come; None: that is noted, but for the changes.
        """
        subject = self._subjects.versions.of(stream_id)
        if known is None:
            self._places.pop(subject, None)

        def noted(before: bytes | None) -> VersionsNote:
            if known is not None:
                writers = {name: (each.counter, each.token, each.observed) for name, each in known.writers.items()}
            else:
                writers = {} if before is None else _decoded(subject, before, _decode_versions).writers
            return VersionsNote(commit, last, {**writers, **changes})

        await self._put(subject, commit, noted)

    async def put_event_id(self, commit: int, stream_id: str, event_id: str, first: int, count: int) -> None:
        """Note what an event id names, if it names nothing yet."""
        subject = self._subjects.of_event_id(stream_id, event_id, "replicated")
        note = EventIdNote(commit, stream_id, event_id, first, count)
        pauses = Pauses(self._connection.address.timeout_seconds)
        while await self._publisher.publish([(subject, _noted(note))], 0, pauses) is None:
            if await self._notes.last(subject) is not None:
                return
            await self._wait(pauses)  # another one is on its way

    async def put_state(self, commit: int, state: StoredState) -> None:
        """Replace a state."""
        subject, checksum = self._subjects.states.of(state.key), state_checksum(state)
        if len(state.body) <= PART_BYTES:
            whole = StateNote(commit, state.type_name, checksum, 0, state.body)
            await self._put(subject, commit, lambda _: whole)
            return
        before = await self._read(subject, _decode_state)
        if before is not None and before.commit >= commit:
            return
        starts = range(0, len(state.body), PART_BYTES)
        for part, start in enumerate(starts):
            await self._publisher.publish(
                [(self._subjects.of_state_part(state.key, commit, part), state.body[start : start + PART_BYTES])], None
            )
        in_parts = StateNote(commit, state.type_name, checksum, len(starts), b"")
        await self._put(subject, commit, lambda _: in_parts)
        if before is not None and before.parts:
            await self._purge(self._subjects.of_state_part(state.key, before.commit, None))

    async def put_fact(self, commit: int, name: str, fact: bytes | None) -> None:
        """Keep or forget a fact."""
        await self._put(self._subjects.facts.of(name), commit, lambda _: FactNote(commit, fact))

    async def _put(self, subject: str, commit: int, noted: Callable[[bytes | None], _Numbered]) -> None:
        """Replace a note that is of an earlier commit by what is made of it; it may be unknown if it is our own."""
        pauses = Pauses(self._connection.address.timeout_seconds)
        place, was_refused = self._places.pop(subject, None), False
        before: bytes | None = None
        while True:
            if place is None:
                raw = await self._notes.last(subject)
                if raw is not None and _decoded(subject, raw.data, _decode_number).commit >= commit:
                    return
                place, before = (0, None) if raw is None else (raw.sequence, raw.data)
            sequence = await self._publisher.publish([(subject, _noted(noted(before)))], place, pauses)
            if sequence is not None:
                break
            place = None
            if was_refused:
                await self._wait(pauses)  # another one is on its way
            was_refused = True
        if len(self._places) >= NOTES_REMEMBERED_MAX:
            self._places.clear()
        self._places[subject] = sequence

    async def _read(self, subject: str, decode: Callable[[bytes], T]) -> T | None:
        raw = await self._notes.last(subject)
        return None if raw is None else _decoded(subject, raw.data, decode)

    async def _joined(self, key: str, note: StateNote) -> bytes | None:
        parts: list[bytes] = []
        for part in range(note.parts):
            raw = await self._notes.last(self._subjects.of_state_part(key, note.commit, part))
            if raw is None:
                return None
            parts.append(raw.data)
        return b"".join(parts)

    async def _purge(self, subject: str) -> None:
        name = notes_of(self._connection.address.name)
        question = {"filter": subject}
        answer = await asked_of_jetstream(self._connection, f"$JS.API.STREAM.PURGE.{name}", question, _decode_purged)
        if answer.error is not None:
            raise refusal(answer.error, self._connection.address.shown, doing="to remove a state's parts")

    async def _wait(self, pauses: Pauses) -> None:
        if pauses.over:
            raise NoAnswerError("another message is under way", was_sent=True)
        await pauses.pause()


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return what several coroutines return; raise the first error when all have ended."""
    room = asyncio.Semaphore(TOGETHER_MAX)

    async def bounded(work: Coroutine[Any, Any, T]) -> T:
        async with room:
            return await work

    results: list[T] = []
    error: BaseException | None = None
    for outcome in await asyncio.gather(*map(bounded, works), return_exceptions=True):
        if isinstance(outcome, BaseException):
            error = error or outcome
        else:
            results.append(outcome)
    if error is not None:
        raise error
    return results


def _noted(note: _Numbered) -> bytes:
    body = _encode(note)
    return crc32(body).to_bytes(CHECKSUM_BYTES, "little") + body


def _decoded(subject: str, data: bytes, decode: Callable[[bytes], T]) -> T:
    body = data[CHECKSUM_BYTES:]
    if crc32(body) != int.from_bytes(data[:CHECKSUM_BYTES], "little"):
        raise CorruptJournalError(f"the note {subject!r} does not match its checksum")
    try:
        return decode(body)
    except msgspec.DecodeError as error:
        raise CorruptJournalError(f"the note {subject!r} cannot be read: {error}") from None
