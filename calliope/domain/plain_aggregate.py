"""`PlainAggregate`: the aggregate of a stream that one journal writes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from typing_extensions import TypeForm

from calliope.codec import UntypedEvent
from calliope.domain.aggregate import Stored
from calliope.domain.decider import Decider
from calliope.errors import ExpectedVersionError
from calliope.event_stream import EventStream
from calliope.flow import Inlet, Sink
from calliope.flow.inlet import EVERYTHING
from calliope.limits import POSITION_MAX
from calliope.recorded_event import PersistReply, RecordedEvent

State = TypeVar("State")
Event = TypeVar("Event")

PROBE = UntypedEvent("calliope-probe", None)
"""What is never stored: the version that it is to be stored at does not exist."""


class PlainAggregate(Generic[State, Event]):
    """An `Aggregate` whose state is the fold of its events in the order of the stream.

    Args:
        decider: how it behaves.
        stream: its stream.
        open_probes: returns a handle on the same stream, for events of any type.
    """

    def __init__(
        self,
        decider: Decider[State, Any, Event],
        stream: EventStream[Event],
        open_probes: Callable[[], EventStream[UntypedEvent]],
    ) -> None:
        self._decider = decider
        self._stream = stream
        self._open_probes = open_probes
        self.state = decider.initial
        self.version = 0
        self.position = 0
        self.snapshot_version = 0
        self.is_loaded = False

    @property
    def stream_id(self) -> str:
        """The stream."""
        return self._stream.stream_id

    async def load(self, state_type: TypeForm[State] | None) -> None:
        """Read the newest snapshot and what came after it, in one look at the journal.

        The event that the snapshot has seen last is read too: it tells the position, and a snapshot of events that
        the stream does not hold (it may have been restored from a backup) is not believed.
        """
        complete = False
        if state_type is not None:
            restored = await self._stream.restore(state_type)
            snapshot, complete = restored.snapshot, restored.complete
            if snapshot is None:
                self._take(restored.records)
            elif restored.records:
                self.state, self.version = snapshot.state, snapshot.sequence_number
                self.snapshot_version = snapshot.sequence_number
                self._take(restored.records)
            else:
                complete = False
        if not complete:
            await self.catch_up()
        self.is_loaded = True

    async def catch_up(self) -> None:
        """Read what was written since, by whomever. Cancellation leaves the aggregate as it was."""
        await self._stream.records(after=self.version).run_with(Sink(self._consume))

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
            reply = await self._open_probes().persist(PROBE, expected_version=POSITION_MAX, event_id=event_id)
        except ExpectedVersionError:
            return None
        first, last = reply.records[0].sequence_number, reply.sequence_number
        return Stored(tuple(await self._stream.query(after=first - 1, until=last).run_collect()), reply.position)

    async def _consume(self, inlet: Inlet[RecordedEvent[Event]]) -> None:
        """Take up all that there is, a page at a time: a long stream needs no more memory than a short one."""
        state, last = self.state, None
        while records := await inlet.pull(EVERYTHING):
            state, last = self._decider.state_after([record.data for record in records], state), records[-1]
        if last is not None:
            self._set(state, last)

    def _take(self, records: Sequence[RecordedEvent[Event]]) -> None:
        """Let the state follow consecutive records; those that it has seen are passed over."""
        if records:
            new = records[max(self.version + 1 - records[0].sequence_number, 0) :]
            self._set(self._decider.state_after([record.data for record in new], self.state), records[-1])

    def _set(self, state: State, last: RecordedEvent[Event]) -> None:
        self.state, self.version, self.position = state, last.sequence_number, last.position
