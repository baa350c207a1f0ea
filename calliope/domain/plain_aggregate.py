"""`PlainAggregate`: the aggregate of a stream that one journal writes."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from calliope.codec import UntypedEvent
from calliope.domain.aggregate import Stored
from calliope.domain.decider import Decider
from calliope.errors import ExpectedVersionError
from calliope.event_stream import EventStream
from calliope.limits import POSITION_MAX
from calliope.recorded_event import PersistReply, RecordedEvent
from calliope.snapshots import Snapshot

State = TypeVar("State")
Event = TypeVar("Event")

PROBE = UntypedEvent("calliope-probe", None)
"""What is never stored: the version that it is to be stored at does not exist."""


class PlainAggregate(Generic[State, Event]):
    """An `Aggregate` whose state is the fold of its events in the order of the stream.

    Args:
        decider: how it behaves.
        stream: its stream.
        probes: the same stream, for events of any type.
    """

    def __init__(
        self, decider: Decider[State, Any, Event], stream: EventStream[Event], probes: EventStream[UntypedEvent]
    ) -> None:
        self._decider = decider
        self._stream = stream
        self._probes = probes
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
        """Store events behind what was seen."""
        return await self._stream.persist(
            events, expected_version=self.version, metadata=metadata or None, event_id=event_id
        )

    def take(self, events: Sequence[Event], reply: PersistReply[Event]) -> None:
        """Let the state follow events that were just stored behind what it has seen."""
        state = self._decider.state_after(events, self.state)
        self.state, self.version, self.position = state, reply.sequence_number, reply.position

    async def stored_as(self, event_id: str) -> Stored[Event] | None:
        """Return what was stored under a request's id, or None.

        The journal is asked to persist under that id at a version that no stream has: it answers with the first reply
        if there is one, and otherwise refuses.
        """
        try:
            reply = await self._probes.persist(PROBE, expected_version=POSITION_MAX, event_id=event_id)
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
