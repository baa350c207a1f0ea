"""`ReplicatedAggregate`: the aggregate of a stream that several replicas write to at once."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from typing_extensions import TypeForm

from calliope.codec import UntypedEvent
from calliope.domain.aggregate import Stored
from calliope.domain.conflict_policy import ConflictPolicy
from calliope.domain.decider import Decider
from calliope.domain.plain_aggregate import PROBE
from calliope.domain.replicated_history import EXECUTION, History, changes_in
from calliope.errors import ExpectedVersionError, ReplicaIdInUseError
from calliope.limits import POSITION_MAX
from calliope.recorded_event import PersistReply, RecordedEvent
from calliope.replicated_stream import ReplicatedEventStream

State = TypeVar("State")
Event = TypeVar("Event")


class ReplicatedAggregate(Generic[State, Event]):
    """An `Aggregate` whose state is the fold of its `History`: equal wherever the same events are.

    What it decides, it decides on everything that this journal holds: the expected version is that of the stream here,
    and whatever is there was observed. So its own changes conflict only with what other replicas did at the same time.

    Args:
        decider: how it behaves.
        policy: what counts of changes that conflict.
        open_stream: returns a new handle on its stream.
        open_probes: returns a new handle on the same stream, for events of any type.
    """

    def __init__(
        self,
        decider: Decider[State, Any, Event],
        policy: ConflictPolicy[State, Event],
        open_stream: Callable[[], ReplicatedEventStream[Event]],
        open_probes: Callable[[], ReplicatedEventStream[UntypedEvent]],
    ) -> None:
        self._open_stream = open_stream
        self._open_probes = open_probes
        self._stream = open_stream()
        self._history = History(decider, policy)
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
        """Read everything: what is yet to come may belong before any state that could have been saved."""
        records = await self._stream.records().run_collect()
        self._history.begin(changes_in(records))
        self._note(records)
        self.is_loaded = True

    async def catch_up(self) -> None:
        """Read what was written or has arrived since; everything, if some of it belongs far back."""
        records = await self._stream.records(after=self.version).run_collect()
        if self._history.add(changes_in(records)):
            self._note(records)
        else:
            await self.load(None)

    async def persist(
        self, events: Sequence[Event], *, metadata: Mapping[str, Any], event_id: str | None
    ) -> PersistReply[Event]:
        """Store events behind what was seen, as one change."""
        marked = {EXECUTION: os.urandom(8).hex(), **metadata}
        try:
            return await self._stream.persist(events, expected_version=self.version, metadata=marked, event_id=event_id)
        except ReplicaIdInUseError as error:
            seen = self.version
            self._stream = self._open_stream()  # a handle of another program wrote under our name: take over from it
            await self.load(None)
            raise ExpectedVersionError(seen, self.version, self.stream_id) from error

    def take(self, events: Sequence[Event], reply: PersistReply[Event]) -> None:
        """Let the state follow events that were just stored: they have observed everything, and come last."""
        self._history.add(changes_in(reply.records))
        self._note(reply.records)

    async def stored_as(self, event_id: str) -> Stored[Event] | None:
        """Return what was stored here under a request's id, by this replica or another, or None."""
        try:
            reply = await self._open_probes().persist(PROBE, expected_version=POSITION_MAX, event_id=event_id)
        except ExpectedVersionError:
            return None
        first, last = reply.records[0].sequence_number, reply.sequence_number
        return Stored(tuple(await self._stream.query(after=first - 1, until=last).run_collect()), reply.position)

    def _note(self, records: Sequence[RecordedEvent[Event]]) -> None:
        self.state = self._history.state
        if records:
            self.version, self.position = records[-1].sequence_number, records[-1].position
