"""What is kept of a projection's failures: where it was parked and what was skipped, as events in the journal.

What was skipped is a fact that outlives the view: a projection that is built anew skips the same events, and whoever
asks later why a view lacks one finds the answer in the stream `calliope:projection:<name>`.
"""

from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5

from calliope.domain.projection_progress import Parked
from calliope.event import event
from calliope.journal import Journal


@event("calliope.projection-parked")
@dataclass(frozen=True)
class ProjectionParked:
    """A projection stood still at an event.

    Attributes:
        position: the event's position.
        event_type: its stored type name.
        stream_id: its stream.
        error: the last error, in words.
        attempts: how often its handler was called.
    """

    position: int
    event_type: str
    stream_id: str
    error: str
    attempts: int


@event("calliope.projection-skipped")
@dataclass(frozen=True)
class ProjectionSkipped:
    """Somebody decided that a projection goes on without an event.

    Attributes:
        position: the event's position.
        error: why it could not be handled.
    """

    position: int
    error: str


HistoryEvent = ProjectionParked | ProjectionSkipped


class History:
    """The failures of one projection.

    Args:
        journal: where they are kept.
        name: the projection.
    """

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal = journal
        self._stream_id = f"calliope:projection:{name}"

    async def skipped(self) -> set[int]:
        """Return the positions of events to go on without."""
        events = self._journal.event_stream(self._stream_id, HistoryEvent).query()
        return {event.position for event in await events.run_collect() if isinstance(event, ProjectionSkipped)}

    async def record_parked(self, parked: Parked) -> None:
        """Keep where a projection stands still."""
        happened = ProjectionParked(parked.position, parked.event_type, parked.stream_id, parked.error, parked.attempts)
        await self._journal.event_stream(self._stream_id, HistoryEvent).persist(happened)

    async def record_skipped(self, position: int, error: str) -> None:
        """Keep that an event is skipped, once."""
        skipped = ProjectionSkipped(position, error)
        name = f"{self._journal.id}/{self._stream_id}/{position}"
        stream = self._journal.event_stream(self._stream_id, HistoryEvent)
        await stream.persist(skipped, event_id=uuid5(NAMESPACE_URL, name))
