"""`ConcurrentVersions`: the latest events of a replicated stream that know nothing of one another, and how to resolve.

Replicas hold the same events in different orders, so a fold that depends on the order gives them different states.
These events do not depend on it: an event is among them if no other event of the stream has observed it. A resolution
is an event like any other. It has observed all that it resolves, so it alone is left, on every replica that holds it;
and if two replicas resolve at once, there are two, of which every replica chooses the same.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import reduce
from operator import attrgetter
from typing import Any, Generic, TypeVar

from calliope.errors import shortened
from calliope.recorded_event import PersistReply, RecordedEvent
from calliope.replicated_stream import ReplicatedEventStream
from crdts import VersionVector
from crdts.version_vector import NOTHING_SEEN

E = TypeVar("E")
V = TypeVar("V")


class ConcurrentVersions(Collection[RecordedEvent[E]], Generic[E]):
    """The latest events of a replicated stream: those that no other of its events has observed. Immutable.

    As the state of a fold it is the same on every replica that holds the same events, in whatever order they came:

        title = journal.replicated_event_stream("title-17", TitleChanged, replica_id="berlin")
        latest = await title.records().run_fold(ConcurrentVersions(), ConcurrentVersions.adding)
        print(latest.last_written().data)              # equal on every replica

        if latest.is_concurrent:                       # somebody decides, or a rule does
            await latest.resolve(title, TitleChanged(latest.merged(by_hand)))

    Iterating gives the records in an order that is the same everywhere: by timestamp, replica id and event id.

    Args:
        records: any records of one stream.
    """

    __slots__ = ("_records",)

    def __init__(self, records: Iterable[RecordedEvent[E]] = ()) -> None:
        self._records: tuple[RecordedEvent[E], ...] = reduce(_with, records, ())

    @classmethod
    def of(cls, records: Iterable[RecordedEvent[E]]) -> "ConcurrentVersions[E]":
        """Return the latest among records."""
        return cls(records)

    @classmethod
    def of_reply(cls, reply: PersistReply[E]) -> "ConcurrentVersions[E]":
        """Return the latest among what was persisted and what was concurrent to it."""
        return cls((*reply.concurrent_updates, *reply.records))

    def adding(self, record: RecordedEvent[E]) -> "ConcurrentVersions[E]":
        """Return the latest when the stream holds one more record; adding one again changes nothing."""
        latest: ConcurrentVersions[E] = ConcurrentVersions()
        latest._records = _with(self._records, record)
        return latest

    @property
    def is_concurrent(self) -> bool:
        """Whether there are several, so that something is to be resolved."""
        return len(self._records) > 1

    @property
    def version(self) -> VersionVector:
        """What has been observed by whoever knows all of these."""
        return reduce(VersionVector.merge, map(attrgetter("version"), self._records), NOTHING_SEEN)

    def last_written(self) -> RecordedEvent[E]:
        """Return the one with the latest timestamp; of equal ones that of the greatest replica id.

        The clocks of the writers decide, so a replica whose clock is ahead wins.

        Raises:
            ValueError: there are no events.
        """
        self._check_some()
        return self._records[-1]

    def preferring(self, *replica_ids: str) -> RecordedEvent[E]:
        """Return the one of the replica that comes first in the list; if none is in it, the last written.

        Raises:
            ValueError: there are no events.
        """
        self._check_some()
        rank = {replica_id: index for index, replica_id in reversed(list(enumerate(replica_ids)))}
        return min(reversed(self._records), key=lambda record: rank.get(record.replica_id, len(rank)))

    def merged(self, merge: Callable[[E, E], E]) -> E:
        """Return what a function makes of all events, two at a time, in an order that is the same everywhere.

        Raises:
            ValueError: there are no events.
        """
        self._check_some()
        return reduce(merge, [record.data for record in self._records])

    async def resolve(self, events: ReplicatedEventStream[V], chosen: V, **options: Any) -> PersistReply[V]:
        """Persist an event that stands in place of all of these, and is then the latest on every replica.

        What arrives meanwhile is concurrent to it, and the reply tells. To be sure that nothing did here, give
        `expected_version`.

        Args:
            events: the stream, by the handle of who resolves.
            chosen: the event: one of these again, or another.
            options: as for `ReplicatedEventStream.persist`, which also says what is raised.

        Raises:
            ValueError: these are events of another stream; nothing was written.
        """
        events.observe(*self._records)
        return await events.persist(chosen, **options)

    def __contains__(self, record: object) -> bool:
        return record in self._records

    def __iter__(self) -> Iterator[RecordedEvent[E]]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __eq__(self, other: object) -> bool:
        """Whether they hold the same events: places in a journal do not matter."""
        if not isinstance(other, ConcurrentVersions):
            return NotImplemented
        return [_identity(record) for record in self] == [_identity(record) for record in other]

    def __hash__(self) -> int:
        return hash(tuple([_identity(record) for record in self]))

    def __repr__(self) -> str:
        return f"<ConcurrentVersions {[record.data for record in self]!r}>"

    def _check_some(self) -> None:
        if not self._records:
            raise ValueError("there are no events to choose among")


def _identity(record: RecordedEvent[Any]) -> tuple[str, VersionVector]:
    return record.id, record.version


def _order(record: RecordedEvent[Any]) -> tuple[Any, ...]:
    return record.timestamp, record.replica_id, record.id


def _with(latest: tuple[RecordedEvent[E], ...], record: RecordedEvent[E]) -> tuple[RecordedEvent[E], ...]:
    """Return the latest of some that are the latest, and one more."""
    if not isinstance(record, RecordedEvent):
        raise TypeError(f"what stands in a replicated stream is a RecordedEvent, not {shortened(record)}")
    version = record.version
    if any(other.version.descends(version) for other in latest):
        return latest
    left = [other for other in latest if not version.descends(other.version)]
    return tuple(sorted([*left, record], key=_order))
