"""The form of a message: what one commit adds to one stream, with a checksum.

A message is the CRC-32 of its body (four bytes, little-endian) and the body, a msgpack array:

    form            1; a later form, such as another replica's log entry, has another number
    stream id       whose events they are; the subject says it too
    writing         twelve bytes of its writer's: if unsure whether a message was stored, he recognises it by them
    first           the sequence number of the first event
    types           the name and schema version of each stored type in it
    rows            each one request, or a part of one: number of events; the index of their type, or of each one's;
                    timestamp; attributes (empty: none); payloads one after another; whether it continues the
                    request of the row before, which may be the last of another message. See `event_rows`.

Position and JetStream's sequence number belong together: a message holds at most 4,096 events, and the position of its
event number i, counted from 0, is `4096 * sequence + i`. So the server gives out positions, in the order in which it
stores, and writers of different streams never wait for one another. Positions grow, with gaps. 2**63 of them last for
2**51 messages.
"""

from zlib import crc32

import msgspec

from calliope.errors import CorruptRecordError
from calliope.stores.event_rows import Row, RowReader, RowReaders, rows_of
from calliope.stores.placing import placed
from calliope.stores.protocol import AppendRequest
from calliope.stores.record import NO_ATTRIBUTES, StoredRecord, StoredType, encode_attributes

MESSAGE_EVENTS_MAX = 4_096
"""How many events one message holds at most."""

MESSAGE_BYTES_MAX = 960 * 1024
"""How large a message of several rows becomes at most; one row alone always fits into a message of one MiB."""

FORM = 1

CHECKSUM_BYTES = 4

MessageRow = tuple[int, int | list[int], int, bytes, bytes, bool]

_ROW_OVERHEAD_BYTES = 40
"""More than msgpack adds to a row."""


class Body(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a message holds; see the head of this module."""

    form: int
    stream_id: str
    writing: bytes
    first: int
    types: list[tuple[str, int]]
    rows: list[MessageRow]

    @property
    def event_count(self) -> int:
        """How many events it holds."""
        return sum([row[0] for row in self.rows])

    @property
    def last(self) -> int:
        """The sequence number of the last event."""
        return self.first + self.event_count - 1


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Body).decode
_decode_numbers = msgspec.msgpack.Decoder(list[int]).decode


def encoded_message(body: Body) -> bytes:
    """Return a message."""
    data = _encode(body)
    return crc32(data).to_bytes(CHECKSUM_BYTES, "little") + data


def position_of(sequence: int, index: int = 0) -> int:
    """Return the position of an event of the message that has a sequence number."""
    return sequence * MESSAGE_EVENTS_MAX + index


def sequence_of(position: int) -> int:
    """Return the sequence number of the message that holds a position."""
    return position // MESSAGE_EVENTS_MAX


class Composition:
    """Messages in the making, for one stream: one for many small requests, or several for one large request.

    Args:
        stream_id: the stream.
        version: the sequence number of its last event before.
        writing: marks the messages.

    Attributes:
        version: the sequence number of the last event in it.
        writing: marks the messages.
        requests: what it holds.
    """

    def __init__(self, stream_id: str, version: int, writing: bytes) -> None:
        self._stream_id = stream_id
        self._first = version + 1
        self._types: dict[StoredType, int] = {}
        self._messages: list[list[MessageRow]] = [[]]
        self._event_count = self._byte_count = 0
        self.version = version
        self.writing = writing
        self.requests: list[AppendRequest] = []

    def add(self, request: AppendRequest) -> bool:
        """Add a request if there is room for it; there is for the first, whatever its size."""
        rows = self._rows(request)
        size = sum([len(row[3]) + len(row[4]) + _ROW_OVERHEAD_BYTES for row in rows])
        if self.requests and not self._has_room(len(request.events), size):
            return False
        if self._has_room(len(request.events), size):
            self._messages[-1] += rows
            self._event_count += len(request.events)
            self._byte_count += size
        else:
            self._spread(rows)
        self.version += len(request.events)
        self.requests.append(request)
        return True

    @property
    def is_one_message(self) -> bool:
        """Whether all of it fits into one message."""
        return len(self._messages) == 1

    def messages(self) -> list[bytes]:
        """Return the messages, encoded."""
        types = [(stored_type.name, stored_type.schema_version) for stored_type in self._types]
        encoded, first = [], self._first
        for rows in self._messages:
            body = Body(FORM, self._stream_id, self.writing, first, types, rows)
            encoded.append(encoded_message(body))
            first += body.event_count
        return encoded

    def stored(self, last_sequence: int) -> list[tuple[int, list[StoredRecord]]]:
        """Return the sequence number and the records of each message, given that of the last one."""
        if len(self.requests) == len(self._messages) == 1:
            return [(last_sequence, placed(self.requests[0], position_of(last_sequence) - 1, self._first - 1))]
        if len(self._messages) > 1:
            return self._stored_in_several(last_sequence)
        records: list[StoredRecord] = []
        for request in self.requests:
            records += placed(request, position_of(last_sequence, len(records)) - 1, self._first + len(records) - 1)
        return [(last_sequence, records)]

    def _stored_in_several(self, last_sequence: int) -> list[tuple[int, list[StoredRecord]]]:
        (request,) = self.requests
        stored, before = [], 0
        for sequence, rows in enumerate(self._messages, last_sequence - len(self._messages) + 1):
            count = sum([row[0] for row in rows])
            part = msgspec.structs.replace(request, events=request.events[before : before + count])
            stored.append((sequence, placed(part, position_of(sequence) - 1, self._first + before - 1)))
            before += count
        return stored

    def _has_room(self, event_count: int, byte_count: int) -> bool:
        return (
            self.is_one_message
            and self._event_count + event_count <= MESSAGE_EVENTS_MAX
            and self._byte_count + byte_count <= MESSAGE_BYTES_MAX
        )

    def _rows(self, request: AppendRequest) -> list[MessageRow]:
        if len(request.events) == 1:
            (event,) = request.events
            attributes = b"" if event.attributes is NO_ATTRIBUTES else encode_attributes(event.attributes)
            return [(1, self._known(event.type)[0], request.timestamp, attributes, event.payload, False)]
        rows = [row for row, _ in rows_of(placed(request, 0, 0), 0, self._known)]
        return [
            (count, kind if isinstance(kind, int) else _decode_numbers(kind), timestamp, attributes, payload, index > 0)
            for index, (_, _, _, count, kind, timestamp, attributes, payload, _) in enumerate(rows)
        ]

    def _known(self, stored_type: StoredType) -> tuple[int, int]:
        return self._types.setdefault(stored_type, len(self._types)), 0

    def _spread(self, rows: list[MessageRow]) -> None:
        event_count = byte_count = 0
        for row in rows:
            size = len(row[3]) + len(row[4]) + _ROW_OVERHEAD_BYTES
            if event_count + row[0] > MESSAGE_EVENTS_MAX or (event_count and byte_count + size > MESSAGE_BYTES_MAX):
                self._messages.append([])
                event_count = byte_count = 0
            self._messages[-1].append(row)
            event_count += row[0]
            byte_count += size


class Message:
    """A stored message, checked.

    Args:
        sequence: JetStream's sequence number of it.
        data: the message.

    Attributes:
        sequence: JetStream's sequence number of it.
        body: what it holds.

    Raises:
        CorruptRecordError: it does not match its checksum, or is no message of a journal.
    """

    __slots__ = ("body", "sequence")

    def __init__(self, sequence: int, data: bytes) -> None:
        if crc32(data[CHECKSUM_BYTES:]) != int.from_bytes(data[:CHECKSUM_BYTES], "little"):
            raise CorruptRecordError(position_of(sequence), "does not match its checksum")
        try:
            body = _decode(data[CHECKSUM_BYTES:])
        except msgspec.DecodeError as error:
            raise CorruptRecordError(position_of(sequence), f"is no message of a journal: {error}") from None
        if body.form != FORM or not 0 < body.event_count <= MESSAGE_EVENTS_MAX:
            raise CorruptRecordError(position_of(sequence), f"is a message of form {body.form}, which is not known")
        self.sequence = sequence
        self.body = body

    @property
    def last_position(self) -> int:
        """The position of its last event."""
        return position_of(self.sequence, self.body.event_count - 1)


class MessageRows:
    """Makes rows of messages, as `RowReader` reads them: with positions, and types numbered for this process."""

    def __init__(self) -> None:
        self._numbers: dict[StoredType, int] = {}
        self._types: dict[int, StoredType] = {}
        self._readers = RowReaders(lambda: self._types)

    def reader(self, stream_id: str) -> RowReader:
        """Return what reads a stream's rows."""
        return self._readers.of(stream_id)

    def rows(self, message: Message) -> list[Row]:
        """Return the rows of a message; they are checked already."""
        body = message.body
        numbers = [self._number(StoredType(name, version)) for name, version in body.types]
        position, number = position_of(message.sequence) - 1, body.first - 1
        rows: list[Row] = []
        for count, kind, timestamp, attributes, payload, _ in body.rows:
            position += count
            number += count
            types = numbers[kind] if isinstance(kind, int) else _encode([numbers[each] for each in kind])
            rows.append((position, number, count, types, timestamp, attributes, payload, 0))
        return rows

    def records(self, message: Message) -> list[StoredRecord]:
        """Return the records of a message."""
        reader = self.reader(message.body.stream_id)
        return [record for row in self.rows(message) for record in reader.records_of_checked(row)]

    def requested(self, message: Message, event_id: str | None) -> tuple[list[StoredRecord], bool]:
        """Return the records of one request in a message, and whether it may go on in the next.

        Args:
            message: a message.
            event_id: names the request; None: the one that goes on from the message before.
        """
        reader = self.reader(message.body.stream_id)
        records: list[StoredRecord] = []
        for (*_, continues), row in zip(message.body.rows, self.rows(message), strict=True):
            if records and not continues:
                return records, False
            own = reader.records_of_checked(row)
            if records or (continues if event_id is None else own[0].attributes.event_id == event_id):
                records += own
            elif event_id is None:
                return [], False
        return records, bool(records)

    def _number(self, stored_type: StoredType) -> int:
        number = self._numbers.get(stored_type)
        if number is None:
            number = len(self._numbers)
            self._types[number] = stored_type
            self._numbers[stored_type] = number
        return number
