"""What a projection reads: the events that have handlers, of the streams and tags it is about."""

from collections.abc import Collection
from typing import Any

from calliope.domain.projection_handlers import Handlers
from calliope.flow import Sink, Source
from calliope.journal import Journal
from calliope.recorded_event import RecordedEvent

Record = RecordedEvent[Any]


class ProjectionSelection:
    """The records of a journal that a projection takes.

    Args:
        journal: the journal.
        handlers: only events that have handlers are read.
        tags: only records with all of these tags.
        prefix: only of streams whose ids begin so.
    """

    def __init__(self, journal: Journal, handlers: Handlers[Any], tags: str | Collection[str], prefix: str) -> None:
        self._journal = journal
        self._handlers = handlers
        self._tags = tags
        self._prefix = prefix

    def stored(self, after: int, until: int) -> Source[Record]:
        """Give what is stored between two positions."""
        return self._journal.records(after, until=until, **self._conditions())

    def live(self, after: int) -> Source[Record]:
        """Give what is stored after a position, and what comes."""
        return self._journal.live_records(after, **self._conditions())

    async def last_position(self, after: int, until: int) -> int:
        """Return the highest position of a record between two, or the lower of the two."""
        positions = self.stored(after, until).map(lambda record: record.position)
        return await positions.run_with(Sink.last(after))

    async def has_any(self, after: int, until: int) -> bool:
        """Tell whether there is a record between two positions."""
        return await self.stored(after, until).map(lambda record: True).run_first(False)

    def _conditions(self) -> dict[str, Any]:
        if not self._handlers.classes:
            raise ValueError("a projection without handlers takes no events: say `@projection.on(EventClass)`")
        return {
            "tags": self._tags,
            "prefix": self._prefix,
            "types": self._handlers.classes,
            "event_type": self._handlers.event_type,
        }
