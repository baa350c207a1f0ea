"""How far each writer of a replicated stream has numbered his events, and what that makes of a new event."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from calliope.errors import CorruptRecordError, ReplicaIdInUseError
from calliope.stores.protocol import AppendRequest
from calliope.stores.record import NewEvent, ReplicatedAttributes, StoredRecord, StoredType
from calliope.stores.replica_store import CONCURRENT_RECORDS_MAX, CONCURRENT_SCAN_MAX, Appended, Writing
from calliope.stores.versioned import Item, Versioned

NOBODY = b""
"""The token of events that came from elsewhere."""


@dataclass(frozen=True, slots=True)
class WriterVersion:
    """How far one writer has come in one stream.

    Attributes:
        counter: the counter of his last event.
        token: the token of who wrote it here; `NOBODY`: it came from elsewhere.
        observed: what he had observed then, without his own counter.
    """

    counter: int
    token: bytes
    observed: dict[str, int]


@dataclass(slots=True)
class StreamVersions:
    """The writers of one stream."""

    writers: dict[str, WriterVersion] = field(default_factory=dict)

    def change(self, request: AppendRequest, writing: Writing, writer: str) -> Versioned:
        """Return the change that a request makes; nothing is noted yet.

        Raises:
            ReplicaIdInUseError: somebody else has written under the writer's replica id since he did.
        """
        last = self.writers.get(writer)
        if last is not None and writer in writing.written_as and last.token != writing.token:
            raise ReplicaIdInUseError(request.stream_id, writing.replica_id)
        earlier = self._earlier(writing.replica_id) if last is None else last.observed
        observed = merged(writing.observed, earlier)
        observed.pop(writer, None)
        first = request.events[0].attributes
        return Versioned(
            request.stream_id,
            writer,
            1 if last is None else last.counter + 1,
            observed,
            request.timestamp,
            request.event_id,
            first.tags,
            first.metadata,
            tuple([Item(*event.type, event.payload) for event in request.events]),
        )

    def _earlier(self, replica_id: str) -> dict[str, int]:
        """Return what a replica has written in earlier logs, under other names, and what it had observed then."""
        observed: dict[str, int] = {}
        for writer, version in self.writers.items():
            if writer.partition("~")[0] == replica_id:
                observed = merged(merged(observed, version.observed), {writer: version.counter})
        return observed

    def note(self, change: Versioned, token: bytes = NOBODY) -> bool:
        """Note that the stream holds a change; tell whether that raised its writer's counter."""
        counter = change.counter + len(change.items) - 1
        last = self.writers.get(change.writer)
        if last is not None and last.counter >= counter:
            return False
        self.writers[change.writer] = WriterVersion(counter, token, change.observed)
        return True

    @property
    def counters(self) -> dict[str, int]:
        """The counter of each writer's last event."""
        return {writer: version.counter for writer, version in self.writers.items()}

    def missing(self, observed: Mapping[str, int], writer: str) -> dict[str, int]:
        """Return how many events of each writer, except one, are in the stream and not observed."""
        return {
            other: version.counter - observed.get(other, 0)
            for other, version in self.writers.items()
            if other != writer and version.counter > observed.get(other, 0)
        }


def merged(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Return the higher counter of each writer."""
    return {**one, **{writer: counter for writer, counter in other.items() if counter > one.get(writer, 0)}}


def new_events(change: Versioned) -> list[NewEvent]:
    """Return the events of a change, as every replica keeps them."""
    version = change.observed
    events = []
    for index, item in enumerate(change.items):
        attributes = ReplicatedAttributes(
            None if index else change.event_id,
            change.tags,
            change.metadata,
            change.writer,
            {**version, change.writer: change.counter + index},
        )
        events.append(NewEvent(StoredType(item.type_name, item.schema_version), item.payload, attributes))
    return events


@dataclass(frozen=True, slots=True)
class Unobserved:
    """What the writer of a change had not observed.

    Attributes:
        records: those records, the newest, in the order of the stream.
        detected: whether there is anything that he had not observed.
        observed: what he has observed when he knows the records: if they are all there are, the whole stream.
    """

    records: list[StoredRecord]
    detected: bool
    observed: dict[str, int]

    def reply(self, records: list[StoredRecord]) -> Appended:
        """Return the reply to him when his records are written."""
        observed = merged(records[-1].version, self.observed)
        return Appended(records, self.records, detected=self.detected, observed=observed, written=True)


def unobserved(change: Versioned, versions: StreamVersions, newest_first: Iterable[StoredRecord]) -> Unobserved:
    """Return what the writer of a change has not observed.

    Args:
        change: the change, which is not in the stream yet.
        versions: the stream's writers.
        newest_first: the records of the stream, read as far as needed.
    """
    missing = versions.missing(change.observed, change.writer)
    if not missing:
        return Unobserved([], detected=False, observed=change.observed)
    count = sum(missing.values())
    found = _unobserved(newest_first, change.observed, change.writer, count)
    observed = change.observed
    if len(found) >= count:
        observed = merged(observed, {writer: versions.writers[writer].counter for writer in missing})
    return Unobserved(found, detected=True, observed=observed)


def appended_before(records: list[StoredRecord], writing: Writing, newest_first: Iterable[StoredRecord]) -> Appended:
    """Return the reply to a writer whose request was written before, as it was the first time.

    Args:
        records: what was written then.
        writing: who asks again.
        newest_first: the records of the stream before these, read as far as needed.
    """
    writer, version = records[-1].writer, records[-1].version
    concurrent = _unobserved(newest_first, version, writer, CONCURRENT_RECORDS_MAX)
    observed = merged(writing.observed, version)
    return Appended(records, concurrent, detected=bool(concurrent), observed=observed, written=False)


def _unobserved(
    newest_first: Iterable[StoredRecord], observed: Mapping[str, int], writer: str, count: int
) -> list[StoredRecord]:
    """Return records newer than what was observed, as far as they can be read: damage is for readers to meet."""
    found: list[StoredRecord] = []
    with suppress(CorruptRecordError):
        for scanned, record in enumerate(newest_first, 1):
            name = record.writer
            if name != writer and record.version[name] > observed.get(name, 0):
                found.append(record)
            if len(found) >= min(count, CONCURRENT_RECORDS_MAX) or scanned >= CONCURRENT_SCAN_MAX:
                break
    found.reverse()
    return found


encode_observed = msgspec.msgpack.Encoder().encode
decode_observed = msgspec.msgpack.Decoder(dict[str, int]).decode
