"""`Redo`: carries out what a commit of a replica's log says: events into their streams, and notes.

A commit is durable with its one message, and all that follows from it is written after: so a process that ends in
between, or is slow, leaves something undone. Nothing is built on a commit before it is carried out: who writes the next
one, or shows its entries to readers, carries it out first, whoever wrote it. Doing it twice does nothing twice:

* Events are numbered by the commit. A stream whose last event has their number has them already, and a message is
  stored only behind the message that its writer looked at.
* A note says which commit it is of, and replaces an earlier one's only.

Invariant: of all commits but the last one everything is carried out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from calliope.errors import CorruptJournalError
from calliope.stores.entry_checks import checked_changes
from calliope.stores.nats_arrivals import Arrivals
from calliope.stores.nats_commit import Commit
from calliope.stores.nats_connection import Pauses
from calliope.stores.nats_errors import NoAnswerError
from calliope.stores.nats_log import NatsLog
from calliope.stores.nats_message import Composition
from calliope.stores.nats_notes import NatsNotes, together
from calliope.stores.nats_publishing import Publisher
from calliope.stores.nats_subjects import NatsSubjects
from calliope.stores.protocol import AppendRequest
from calliope.stores.record import StoredRecord
from calliope.stores.stream_versions import StreamVersions, decode_observed, new_events
from calliope.stores.versioned import Versioned

BATCH_MESSAGES_MAX = 256
"""How many messages are stored all or nothing, so that their order is that of the log."""

BATCH_BYTES_MAX = 8 * 1024 * 1024

ENDS_REMEMBERED_MAX = 65_536
"""Of how many streams the end is remembered."""


@dataclass(frozen=True, slots=True)
class _End:
    """The sequence number of a replicated stream's last message, and that of its last event; 0: there is none."""

    sequence: int
    version: int


@dataclass(frozen=True, slots=True)
class _Addition:
    """A message that is to be added to a stream.

    Attributes:
        stream_id: the stream.
        composition: makes it, and its records.
        message: the message.
        first: the sequence number of its first event.
    """

    stream_id: str
    composition: Composition
    message: bytes
    first: int

    @property
    def last(self) -> int:
        """The sequence number of its last event."""
        return self.composition.version


class Redo:
    """Carries commits out. Used in the store's thread, by one task at a time.

    Args:
        publisher: publishes events.
        events: the events.
        subjects: their subjects.
        arrivals: takes what was stored.
        notes: the notes.
    """

    def __init__(
        self, publisher: Publisher, events: NatsLog, subjects: NatsSubjects, arrivals: Arrivals, notes: NatsNotes
    ) -> None:
        self._publisher = publisher
        self._events = events
        self._subjects = subjects
        self._arrivals = arrivals
        self._notes = notes
        self._ends: dict[str, _End] = {}

    async def carry_out(self, commit: Commit, versions: dict[str, StreamVersions]) -> list[StoredRecord]:
        """Carry a commit out; return those of its records that this made, in their places.

        Args:
            commit: the last commit.
            versions: how far the writers of streams have come with it, as far as that is known.
        """
        if len(self._ends) >= ENDS_REMEMBERED_MAX:
            self._ends.clear()
        changes = [change for entry in commit.entries if entry.kind == "events" for change in checked_changes(entry)]
        received = any(entry.log_id != commit.fields.log_id for entry in commit.entries)
        additions = list(_additions(changes, dict(commit.first_numbers), in_order=received))
        records = await self._add(additions, in_order=received)
        await self._note(commit, changes, versions)
        return records

    def forget(self) -> None:
        """Remember of no stream and of no note where it ends: others wrote."""
        self._ends.clear()
        self._notes.forget()

    async def _add(self, additions: list[_Addition], *, in_order: bool) -> list[StoredRecord]:
        """Store messages: those that others wrote in their order, our own streams side by side."""
        if in_order:
            return [record for batch in _batches(additions) for record in await self._stored(batch)]
        by_stream: dict[str, list[_Addition]] = {}
        for addition in additions:
            by_stream.setdefault(addition.stream_id, []).append(addition)
        stored = await together([self._one_by_one(each) for each in by_stream.values()])
        return [record for records in stored for record in records]

    async def _one_by_one(self, additions: Sequence[_Addition]) -> list[StoredRecord]:
        return [record for addition in additions for record in await self._stored([addition])]

    async def _stored(self, additions: Sequence[_Addition]) -> list[StoredRecord]:
        """Store messages, all or nothing, as far as they are not stored; return the records that this made."""
        pauses, was_refused = Pauses(self._publisher.connection.address.timeout_seconds), False
        while True:
            left = await self._lacking(additions)
            if left is None:  # a server that is behind has answered, or else something is lost
                if pauses.over:
                    raise CorruptJournalError(
                        f"the replica's log says that number {additions[0].first} is next in stream"
                        f" {additions[0].stream_id!r}, or in others, and what lies before it is not there"
                    )
                await pauses.pause()
                continue
            if not left:
                return []
            seen: set[str] = set()
            messages: list[tuple[str, bytes, int | None]] = []
            for addition in left:
                stream_id = addition.stream_id
                expected = None if stream_id in seen else self._ends[stream_id].sequence
                seen.add(stream_id)
                messages.append((self._subjects.of_stream(stream_id, "replicated"), addition.message, expected))
            last = await self._publisher.publish_together(messages, pauses)
            if last is not None:
                return self._taken(left, last - len(left) + 1)
            for stream_id in seen:
                del self._ends[stream_id]
            if pauses.over:
                raise NoAnswerError("another message is under way", was_sent=True)
            if was_refused:
                await pauses.pause()  # another one is on its way
            was_refused = True

    async def _lacking(self, additions: Sequence[_Addition]) -> list[_Addition] | None:
        """Return the messages that are not stored; None: what lies before them is not there."""
        unknown = {addition.stream_id for addition in additions} - self._ends.keys()
        for stream_id, end in await together([self._looked_up(stream_id) for stream_id in sorted(unknown)]):
            self._ends[stream_id] = end
        numbers = {addition.stream_id: self._ends[addition.stream_id].version for addition in additions}
        left: list[_Addition] = []
        for addition in additions:
            number = numbers[addition.stream_id]
            if addition.last <= number:
                continue
            if addition.first != number + 1:
                del self._ends[addition.stream_id]
                return None
            numbers[addition.stream_id] = addition.last
            left.append(addition)
        return left

    async def _looked_up(self, stream_id: str) -> tuple[str, _End]:
        raw = await self._events.last(self._subjects.of_stream(stream_id, "replicated"))
        return stream_id, _End(0, 0) if raw is None else _End(raw.sequence, raw.checked().body.last)

    def _taken(self, additions: Sequence[_Addition], first_sequence: int) -> list[StoredRecord]:
        made: list[StoredRecord] = []
        for sequence, addition in enumerate(additions, first_sequence):
            ((_, records),) = addition.composition.stored(sequence)
            self._ends[addition.stream_id] = _End(sequence, addition.last)
            self._arrivals.stored(sequence, records)
            made += records
        return made

    async def _note(self, commit: Commit, changes: Sequence[Versioned], versions: dict[str, StreamVersions]) -> None:
        notes, number = self._notes, commit.number
        works = [
            self._note_versions(commit, stream_id, last, versions.get(stream_id))
            for stream_id, last in _last_numbers(changes, dict(commit.first_numbers)).items()
        ]
        works += [notes.put_event_id(number, *named) for named in _named(changes, dict(commit.first_numbers))]
        works += [notes.put_state(number, state) for state in commit.states]
        works += [notes.put_fact(number, name, fact) for name, fact in commit.facts.items()]
        await together(works)

    async def _note_versions(self, commit: Commit, stream_id: str, last: int, known: StreamVersions | None) -> None:
        changes = {
            writer: (counter, token, decode_observed(observed))
            for changed, writer, counter, token, observed in commit.versions
            if changed == stream_id
        }
        await self._notes.put_versions(commit.number, stream_id, last, changes, known)


def _additions(changes: Sequence[Versioned], numbers: dict[str, int], *, in_order: bool) -> Iterator[_Addition]:
    """Yield the messages that keep events: each of one stream, in the order of the changes if that is wanted.

    Args:
        changes: the events.
        numbers: the sequence number of the next event of each stream; it is moved on.
        in_order: whether a message may only hold changes that follow one another.
    """
    if not in_order:
        changes = sorted(changes, key=lambda change: change.stream_id)  # stable: each stream's own stay in order
    for stream_id, together_ in groupby(changes, key=lambda change: change.stream_id):
        first = numbers[stream_id]
        composition = Composition(stream_id, first - 1, b"")
        for change in together_:
            for event in new_events(change):
                request = AppendRequest(stream_id, "replicated", [event], change.timestamp)
                if not composition.add(request):
                    yield _addition(stream_id, composition, first)
                    first = composition.version + 1
                    composition = Composition(stream_id, composition.version, b"")
                    composition.add(request)
        yield _addition(stream_id, composition, first)
        numbers[stream_id] = composition.version + 1


def _addition(stream_id: str, composition: Composition, first: int) -> _Addition:
    (message,) = composition.messages()
    return _Addition(stream_id, composition, message, first)


def _batches(additions: Sequence[_Addition]) -> Iterator[list[_Addition]]:
    batch: list[_Addition] = []
    size = 0
    for addition in additions:
        if batch and (len(batch) >= BATCH_MESSAGES_MAX or size + len(addition.message) > BATCH_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(addition)
        size += len(addition.message)
    if batch:
        yield batch


def _last_numbers(changes: Sequence[Versioned], numbers: dict[str, int]) -> dict[str, int]:
    """Return the sequence number of the last event of each stream, given that of the first new one."""
    for change in changes:
        numbers[change.stream_id] += len(change.items)
    return {stream_id: number - 1 for stream_id, number in numbers.items()}


def _named(changes: Sequence[Versioned], numbers: dict[str, int]) -> Iterator[tuple[str, str, int, int]]:
    """Yield which events are named by event ids: stream, id, the first one's sequence number, and how many."""
    named: set[tuple[str, str]] = set()
    for change in changes:
        first, count = numbers[change.stream_id], len(change.items)
        numbers[change.stream_id] = first + count
        if change.event_id is not None and (change.stream_id, change.event_id) not in named:
            named.add((change.stream_id, change.event_id))
            yield change.stream_id, change.event_id, first, count
