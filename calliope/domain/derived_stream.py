"""`DerivedStream`: some of a journal's events, by tag, type or predicate, with numbers of their own.

    audit = DerivedStream(journal, "audit", types=[PriceChanged, DiscountGiven], tags="vip")
    async for entry in audit.live_query(after=41):
        print(entry.sequence_number, entry.record.stream_id, entry.data)    # 42, 43, 44 …

Nothing is copied. The n-th record of a derived stream is the n-th record of the journal that was chosen, in the order
of positions, so every process numbers alike, before and after a restart, and a record is there as soon as it is in the
journal. Who stores a number resumes behind it: nothing is missed, nothing comes twice.

What it costs: reading goes through the journal's records, not through a list of its own. Every `interval` records a
mark is kept in the journal's snapshots, whose number and position tell where to begin; at most an interval of records
is read in vain, and what lies between them in the journal is passed over. Whoever reads past a place without a mark
sets it, so the first reader reads from the first event on. A stream that chooses few of many events and is read far
more often than it is written is better off as a projection.

What changes numbers: another choice. Name, tags, types, prefix and `revision` all go into the marks' name, so other
marks are used then; raise `revision` when the predicate chooses otherwise. Who stored numbers must begin anew.
"""

from collections.abc import Callable, Collection
from hashlib import blake2s
from typing import Any

from calliope.codec import stored_names
from calliope.domain.derived_index import DerivedIndex
from calliope.domain.derived_inlet import DerivedInlet, DerivedRecord
from calliope.flow import Source
from calliope.flow.arguments import check_callable
from calliope.journal import Journal
from calliope.limits import checked_number, checked_text
from calliope.recorded_event import RecordedEvent

NAME_BYTES_MAX = 200
"""UTF-8 bytes of a derived stream's name."""

MARK_INTERVAL = 1_000
"""Records from mark to mark: what is read in vain, at most, against how often something is written while reading."""


class DerivedStream:
    """A stream that follows from a journal. It holds nothing open: make as many of one name as you like.

    Args:
        journal: the journal.
        name: names the stream; 1 to 200 bytes in UTF-8.
        tags: only records with all of these tags.
        types: only records of one of these types: stored names, or classes, which stand for their subclasses too.
        prefix: only of streams whose ids begin so.
        predicate: only records for which it is true. It must answer alike for ever: from the record alone.
        event_type: the class, or union of classes, that events are decoded to; see `Journal.records`.
        revision: raise it when the predicate chooses otherwise.
        interval: how many records there are from mark to mark.

    Raises:
        TypeError, ValueError: an argument is not legal.
    """

    def __init__(
        self,
        journal: Journal,
        name: str,
        *,
        tags: str | Collection[str] = (),
        types: str | type | Collection[str | type] = (),
        prefix: str = "",
        predicate: Callable[[RecordedEvent[Any]], Any] | None = None,
        event_type: Any = None,
        revision: int = 1,
        interval: int = MARK_INTERVAL,
    ) -> None:
        checked_text("name", name, NAME_BYTES_MAX)
        checked_number("revision", revision, minimum=1)
        checked_number("interval", interval, minimum=1)
        if predicate is not None:
            check_callable("predicate", predicate)
        self.name = name
        self._journal = journal
        self._conditions: dict[str, Any] = {"tags": tags, "types": types, "prefix": prefix, "event_type": event_type}
        self._predicate = predicate
        choice = repr((_names(types), sorted({tags} if isinstance(tags, str) else set(tags)), prefix, revision))
        digest = blake2s(choice.encode(), digest_size=8).hexdigest()
        self._index = DerivedIndex(journal, f"{name}:{digest}", interval)

    def query(self, after: int = 0, until: int | None = None) -> Source[DerivedRecord[Any]]:
        """Yield the records stored when it runs, in order, then end.

        Args:
            after: the number to begin after.
            until: the last number to yield.

        The source raises what `Journal.records` raises, and what the predicate does.
        """
        checked_number("after", after)
        if until is not None:
            checked_number("until", until)
        return Source.from_inlet(lambda: DerivedInlet(self._index, self._stored, after, until))

    def live_query(self, after: int = 0) -> Source[DerivedRecord[Any]]:
        """Yield what `query` yields, then new records as they are committed, for ever."""
        checked_number("after", after)
        return Source.from_inlet(lambda: DerivedInlet(self._index, self._live, after, None))

    def _stored(self, after: int) -> Source[RecordedEvent[Any]]:
        return self._chosen(self._journal.records(after, **self._conditions))

    def _live(self, after: int) -> Source[RecordedEvent[Any]]:
        return self._chosen(self._journal.live_records(after, **self._conditions))

    def _chosen(self, records: Source[RecordedEvent[Any]]) -> Source[RecordedEvent[Any]]:
        return records if self._predicate is None else records.filter(self._predicate)

    def __repr__(self) -> str:
        return f"<DerivedStream {self.name!r}>"


def _names(types: str | type | Collection[str | type]) -> list[str]:
    """Return the stored names that types stand for."""
    several = (types,) if isinstance(types, (str, type)) or not isinstance(types, Collection) else types
    return sorted({name for each in several for name in ((each,) if isinstance(each, str) else stored_names(each))})
