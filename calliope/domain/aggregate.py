"""One aggregate in memory: a state, and how much of its stream it has seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from calliope.codec import UntypedEvent
from calliope.domain.decider import Decider
from calliope.errors import ExpectedVersionError
from calliope.event_stream import EventStream
from calliope.limits import POSITION_MAX
from calliope.recorded_event import PersistReply, RecordedEvent
from calliope.snapshots import Snapshot

State = TypeVar("State")
Event = TypeVar("Event")

_PROBE = UntypedEvent("calliope-probe", None)


@dataclass(frozen=True)
class Stored(Generic[Event]):
    """Events that a command led to when it was carried out for the first time.

    Attributes:
        events: the events.
        position: where the last of them stands in the journal.
    """

    events: tuple[Event, ...]
    position: int


class Aggregate(Generic[State, Event]):
    """The state of one stream as far as it was read. Whoever uses it is alone with it.

    Invariant: `state` is the fold of the first `version` events; nothing is awaited between setting one and the other.

    Attributes:
        state: the state.
        version: the sequence number of the last event it has seen.
        position: where that event stands in the journal; 0: there is none.
        snapshot_version: the version that the newest known snapshot was saved at.
        is_loaded: whether anything was read yet.
    """

    def __init__(self, decider: Decider[State, Any, Event], stream: EventStream[Event]) -> None:
        self._decider = decider
        self._stream = stream
        self.state = decider.initial
        self.version = 0
        self.position = 0
        self.snapshot_version = 0
        self.is_loaded = False

    @property
    def stream_id(self) -> str:
        """The stream."""
        return self._stream.stream_id

    async def load(self, snapshot: Snapshot[State] | None) -> None:
        """Read a snapshot and what came after it; without one, everything.

        The event that the snapshot has seen last is read too: it tells the position, and a snapshot of events that
        the stream does not hold (it may have been restored from a backup) is not believed.
        """
        if snapshot is not None and await self._read(
            snapshot.state, snapshot.sequence_number, after=max(snapshot.sequence_number - 1, 0)
        ):
            self.snapshot_version = snapshot.sequence_number
        else:
            await self.catch_up()
        self.is_loaded = True

    async def catch_up(self) -> None:
        """Read what was written since, by whomever. Cancellation leaves the aggregate as it was."""
        await self._read(self.state, self.version, after=self.version)

    async def persist(
        self, events: Sequence[Event], *, metadata: Mapping[str, Any], event_id: str | None
    ) -> PersistReply[Event]:
        """Store events behind what was seen; the state takes them up only with `take`.

        Raises:
            ExpectedVersionError: there is more in the stream than was seen; nothing was written.
        """
        return await self._stream.persist(
            events, expected_version=self.version, metadata=metadata or None, event_id=event_id
        )

    def take(self, events: Sequence[Event], reply: PersistReply[Event]) -> None:
        """Let the state follow events that were just stored behind what it has seen."""
        state = self._decider.state_after(events, self.state)
        self.state, self.version, self.position = state, reply.sequence_number, reply.position

    async def stored_as(self, event_id: str, probes: EventStream[UntypedEvent]) -> Stored[Event] | None:
        """Return what was stored under a request's id, or None.

        The journal is asked to persist under that id at a version that no stream has: it answers with the first reply
        if there is one, and otherwise refuses.

        Args:
            event_id: the request's id.
            probes: the same stream, for events of any type.
        """
        try:
            reply = await probes.persist(_PROBE, expected_version=POSITION_MAX, event_id=event_id)
        except ExpectedVersionError:
            return None
        first, last = reply.records[0].sequence_number, reply.sequence_number
        return Stored(tuple(await self._stream.query(after=first - 1, until=last).run_collect()), reply.position)

    async def _read(self, state: State, seen: int, *, after: int) -> bool:
        """Take up what a state that has seen so many events becomes by the others; tell whether there was any record.

        Args:
            state: the state to begin with.
            seen: the sequence number of the last event in it.
            after: the sequence number to begin reading after.
        """
        evolve = self._decider.evolve
        last: RecordedEvent[Event] | None = None

        def step(state: State, record: RecordedEvent[Event]) -> State:
            nonlocal last
            last = record
            return evolve(state, record.data) if record.sequence_number > seen else state

        state = await self._stream.records(after=after).run_fold(state, step)
        if last is None:
            return False
        self.state, self.version, self.position = state, last.sequence_number, last.position
        return True
