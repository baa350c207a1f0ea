"""`Claims`: event ids that callers gave, each written once, for as long as the journal exists.

JetStream recognises a message id for two minutes by default. So before an event with an id is written, a *note* is:
its subject is made from the stream and the id, and it says which message of the stream the event's message would
follow. The event is written only if that is still the stream's last one. Hence:

* No note: the id was never written to the stream. Making one expects that there is none, so of two who try one does.
* A note, and the message that follows the one it names holds the id: that is the event, and its records are the reply.
* A note, and another message follows there: whoever made the note was overtaken, or its caller gave up; the event
  cannot come to stand there any more. The note is made to name the stream's present end, which expects the old note.
* A note, and nothing follows yet: the event may be on its way. To write it at the same place is safe: the place is
  taken once.

The notes are in a JetStream stream of their own, which keeps the last message of each subject.
"""

import secrets

import msgspec

from calliope.errors import CorruptJournalError
from calliope.stores.nats_connection import Pauses
from calliope.stores.nats_errors import NoAnswerError
from calliope.stores.nats_log import NatsLog
from calliope.stores.nats_message import MessageRows, sequence_of
from calliope.stores.nats_publishing import Publisher
from calliope.stores.nats_subjects import NatsSubjects
from calliope.stores.record import StoredRecord, position_of_minted_id


class StaleEndError(Exception):
    """The stream's end is not what the caller takes it for: it must be looked up again."""


class _Note(msgspec.Struct, frozen=True, array_like=True):
    """Where an event may be: in the message of its stream that follows one (0: the first)."""

    stream_id: str
    event_id: str
    follows: int
    writing: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Note).decode


class Claims:
    """Notes on event ids.

    Args:
        publisher: publishes notes.
        events: the events.
        notes: the notes.
        subjects: the subjects of both.
        rows: makes records of messages.
        journal_id: names the journal.
    """

    def __init__(
        self,
        publisher: Publisher,
        events: NatsLog,
        notes: NatsLog,
        subjects: NatsSubjects,
        rows: MessageRows,
        journal_id: str,
    ) -> None:
        self._publisher = publisher
        self._events = events
        self._notes = notes
        self._subjects = subjects
        self._rows = rows
        self._journal_id = journal_id

    async def claim(self, stream_id: str, event_id: str, follows: int) -> list[StoredRecord] | None:
        """Note that an event will be written after a message; return its records if it has been written before.

        Args:
            stream_id: the stream.
            event_id: the event's id.
            follows: the sequence number of the stream's last message; 0: there is none.

        Raises:
            StaleEndError: the stream has a later message.
        """
        minted = await self._minted(stream_id, event_id)
        if minted is not None:
            return minted
        subject = self._subjects.of_event_id(stream_id, event_id)
        note = _encode(_Note(stream_id, event_id, follows, secrets.token_bytes(8)))
        expected, pauses = 0, Pauses(self._publisher.connection.address.timeout_seconds)
        while await self._publisher.publish([(subject, note)], expected, pauses) is None:
            if pauses.over:
                raise NoAnswerError(f"somebody else always writes the note on event {event_id!r}", was_sent=False)
            found = await self._note(subject, stream_id, event_id)
            if found is None:
                await pauses.pause()  # another one is on its way
                continue
            expected, noted = found
            records, refuted = await self._records(noted)
            if records is not None:
                return records
            if noted.follows == follows:
                if refuted:
                    raise StaleEndError
                return None
            if not refuted and await self._exists(stream_id, noted.follows):
                raise StaleEndError
        return None

    async def find(self, stream_id: str, event_id: str) -> list[StoredRecord] | None:
        """Return the records of an event id, or None if it was not written to the stream."""
        minted = await self._minted(stream_id, event_id)
        if minted is not None:
            return minted
        found = await self._note(self._subjects.of_event_id(stream_id, event_id), stream_id, event_id)
        return None if found is None else (await self._records(found[1]))[0]

    async def _note(self, subject: str, stream_id: str, event_id: str) -> tuple[int, _Note] | None:
        raw = await self._notes.last(subject)
        if raw is None:
            return None
        try:
            note = _decode(raw.data)
        except msgspec.DecodeError as error:
            raise CorruptJournalError(f"note {raw.sequence} on {event_id!r} cannot be read: {error}") from None
        if (note.stream_id, note.event_id) != (stream_id, event_id):
            raise CorruptJournalError(f"note {raw.sequence} on {event_id!r} is about {note.event_id!r}")
        return raw.sequence, note

    async def _records(self, note: _Note) -> tuple[list[StoredRecord] | None, bool]:
        """Return the records that a note names, and whether something else stands in their place."""
        subject = self._subjects.streams.of(note.stream_id)
        raw = await self._events.next(subject, note.follows + 1)
        if raw is None:
            return None, False
        message = raw.checked()
        records, goes_on = self._rows.requested(message, note.event_id)
        if not records:
            return None, True
        while goes_on:
            raw = await self._events.next(subject, message.sequence + 1)
            if raw is None:
                break
            message = raw.checked()
            more, goes_on = self._rows.requested(message, None)
            records += more
        return records, False

    async def _exists(self, stream_id: str, sequence: int) -> bool:
        """Tell whether a message is in a stream: a journal that was restored may have lost some that notes name."""
        raw = await self._events.next(self._subjects.streams.of(stream_id), sequence)
        return sequence == 0 or (raw is not None and raw.sequence == sequence)

    async def _minted(self, stream_id: str, event_id: str) -> list[StoredRecord] | None:
        position = position_of_minted_id(event_id, self._journal_id)
        if position is None:
            return None
        raw = await self._events.next(self._subjects.events, sequence_of(position))
        if raw is None or raw.sequence != sequence_of(position):
            return None
        for record in self._rows.records(raw.checked()):
            if record.position == position:
                found = record.stream_id, record.kind, record.attributes.event_id
                return [record] if found == (stream_id, "plain", None) else None
        return None
