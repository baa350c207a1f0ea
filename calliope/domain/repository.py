"""`Repository`: carries commands out on aggregates, one decider over as many streams as there are aggregates."""

import warnings
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from typing_extensions import TypeForm

from calliope.codec import UntypedEvent
from calliope.domain.aggregate import Aggregate
from calliope.domain.aggregate_cache import AggregateCache
from calliope.domain.conflict_policy import ConflictPolicy, all_stand
from calliope.domain.decider import Decider
from calliope.domain.errors import ConflictError, UnsavedSnapshotWarning
from calliope.domain.executed import Executed, Loaded
from calliope.domain.identity import Identifier
from calliope.domain.instruction import Instruction
from calliope.domain.plain_aggregate import PlainAggregate
from calliope.domain.replicated_aggregate import ReplicatedAggregate
from calliope.errors import ExpectedVersionError, shortened
from calliope.event_stream import MicrosecondClock, system_clock
from calliope.flow.arguments import check_seconds
from calliope.flow.clock import LOOP_CLOCK, Clock
from calliope.journal import Journal
from calliope.limits import STREAM_ID_BYTES_MAX, checked_number, checked_text
from calliope.owning import owned
from calliope.replicated_stream import checked_replica_id

State = TypeVar("State")
Command = TypeVar("Command")
Event = TypeVar("Event")

SNAPSHOTS_KEPT = 2
"""How many snapshots of an aggregate are kept: if the newest is damaged, there is another."""


class Repository(Generic[State, Command, Event]):
    """Loads aggregates, has commands decided, and stores what was decided.

    Commands for one aggregate are carried out one after the other in the order in which they came, those for different
    aggregates at the same time, sharing commits. Any number of repositories in any number of processes may work on one
    journal: what they decide is stored only if nobody else wrote meanwhile, and otherwise decided anew.

    Args:
        journal: the open journal that keeps the streams.
        decider: how the aggregates behave.
        event_type: the class of the events, or a union of classes, as `Journal.event_stream` takes it.
        state_type: the class of the state, or the type of plain data; needed for snapshots.
        snapshot_every: after how many events a snapshot is saved; 0: never.
        conflict_retries: how often a command is decided again because somebody else wrote first.
        cached_aggregates_max: how many aggregates that nobody uses are kept in memory.
        idle_seconds: how long they are kept; looked at whenever the repository is used, and while it is `running`.
        prefix: what every stream id begins with, if it is not part of the ids that `execute` is given.
        replica_id: given, the streams are replicated ones, and this is under whose name they are written here; each
            repository on them has one of its own, such as that of its `Node`. Versions are then those of the streams
            in this journal, and there are no snapshots.
        conflict_policy: what counts of changes that replicas decided without knowing of one another.
        clock: tells how long an aggregate is idle.
        wall_clock: tells whether a deadline has passed, in microseconds since 1970 UTC.

    Raises:
        TypeError, ValueError: an argument is not legal, or snapshots are wanted and `state_type` is missing.
    """

    def __init__(
        self,
        journal: Journal,
        decider: Decider[State, Command, Event],
        event_type: TypeForm[Event],
        *,
        state_type: TypeForm[State] | None = None,
        snapshot_every: int = 0,
        conflict_retries: int = 50,
        cached_aggregates_max: int = 10_000,
        idle_seconds: float = 600.0,
        prefix: str = "",
        replica_id: str | None = None,
        conflict_policy: ConflictPolicy[State, Event] = all_stand,
        clock: Clock = LOOP_CLOCK,
        wall_clock: MicrosecondClock = system_clock,
    ) -> None:
        if checked_number("snapshot_every", snapshot_every) and state_type is None:
            raise ValueError("snapshots need a state_type, to be read back")
        checked_number("conflict_retries", conflict_retries)
        checked_number("cached_aggregates_max", cached_aggregates_max)
        check_seconds("idle_seconds", idle_seconds)
        if prefix:
            checked_text("prefix", prefix, STREAM_ID_BYTES_MAX)
        if replica_id is not None:
            checked_replica_id(replica_id)
        if replica_id is not None and snapshot_every:
            raise ValueError("replicated aggregates have no snapshots: what is yet to come may belong before them")
        if replica_id is None and conflict_policy is not all_stand:
            raise ValueError("a conflict_policy needs a replica_id: plain streams know no conflicts")
        self.decider = decider
        self.prefix = prefix
        self.replica_id = replica_id
        self._conflict_policy = conflict_policy
        self._journal = journal
        self._event_type = event_type
        self._state_type = state_type
        self._snapshot_every = snapshot_every
        self._conflict_retries = conflict_retries
        self._wall_clock = wall_clock
        self._cache = AggregateCache(self._new_aggregate, cached_aggregates_max, idle_seconds, clock)

    async def execute(
        self,
        stream_id: str | Identifier,
        command: Command,
        *,
        command_id: str | UUID | None = None,
        deadline: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        expected_version: int | None = None,
    ) -> Executed[State, Event]:
        """Carry a command out; return when what it led to is durable.

        Args:
            stream_id: the aggregate: its id, with the prefix it is the id of a stream.
            command: what the decider understands.
            command_id: names the command, so that it is carried out once for this aggregate, however often, from
                whichever process and after whichever restart it is sent. Sent again it returns the events of the first
                time, whatever the state has become since. This holds for commands that led to events; one that was
                rejected, or changed nothing, left no trace and is decided anew. Of replicas, one recognises it whose
                journal has the events; if two carry it out before that, it counts once.
            deadline: when the command is no longer wanted, an aware datetime. It is looked at before each attempt to
                store; a commit under way is not interrupted.
            metadata: plain data for the events. `command_id` is added to it, and what `caused_by` and `with_metadata`
                say around the call.
            expected_version: the version that the caller has seen; the command is carried out on no other.

        Returns:
            The events and the state.

        Raises:
            Exception: what `decide` raises, such as a `Rejection`: the journal's newest state was looked at, and
                nothing was stored.
            ExpectedVersionError: the aggregate is at another version than was expected; nothing was stored.
            ConflictError: others were quicker at every attempt; nothing was stored.
            CommandExpiredError: the deadline has passed; nothing was stored.
            EventError, JournalError: as `EventStream.persist` and reading raise them.
            TypeError, ValueError: an argument is not legal; nothing was stored.

        Warns:
            UnsavedSnapshotWarning: the events are stored, but the snapshot that was due is not.

        Cancellation stops the waiting. The events are then stored, all or none of them: send the command again with the
        same command id to find out. The aggregate in memory stays right in either case.
        """
        instruction = Instruction.of(self._stream_id(stream_id), command_id, metadata, deadline, expected_version)
        async with self._cache.lent(instruction.stream_id) as aggregate:
            executed = await self._executed(aggregate, command, instruction)
            if self._snapshot_every and aggregate.version - aggregate.snapshot_version >= self._snapshot_every:
                await self._save_snapshot(aggregate)
        return executed

    async def load(self, stream_id: str | Identifier) -> Loaded[State]:
        """Return an aggregate as the journal has it now, from whichever process; `initial` if it has no events.

        Raises:
            EventError, JournalError: its events cannot be read.
        """
        async with self._cache.lent(self._stream_id(stream_id)) as aggregate:
            await self._make_current(aggregate)
            return Loaded(aggregate.state, aggregate.version)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Forget idle aggregates while an `async with` block lasts, also when nobody calls; needed for nothing else."""
        return owned(self._cache.forget_idle)

    async def _executed(
        self, aggregate: Aggregate[State, Event], command: Command, instruction: Instruction
    ) -> Executed[State, Event]:
        """Decide and store, again as long as others are quicker.

        What is in memory may be behind the journal. If it leads to events, the expected version tells. If it leads to
        none or to a refusal, nobody would: so then the journal is read, and the command decided once more.
        """
        conflicts = 0
        is_current = not aggregate.is_loaded
        if is_current:
            await self._make_current(aggregate)
        while True:
            events, refusal = self._decided(aggregate, command, instruction)
            if events:
                try:
                    return await self._stored(aggregate, events, instruction)
                except ExpectedVersionError as error:
                    conflicts += 1
                    if conflicts > self._conflict_retries and instruction.expected_version is None:
                        raise ConflictError(instruction.stream_id, conflicts) from error
            elif is_current:
                return await self._without_events(aggregate, instruction, refusal)
            await aggregate.catch_up()
            is_current = True

    def _decided(
        self, aggregate: Aggregate[State, Event], command: Command, instruction: Instruction
    ) -> tuple[tuple[Event, ...], Exception | None]:
        """Return the events that a command leads to, or why it is refused."""
        try:
            instruction.check(aggregate.version, self._wall_clock)
            return self.decider.events_of(command, aggregate.state), None
        except Exception as refusal:
            return (), refusal

    async def _stored(
        self, aggregate: Aggregate[State, Event], events: tuple[Event, ...], instruction: Instruction
    ) -> Executed[State, Event]:
        reply = await aggregate.persist(events, metadata=instruction.metadata, event_id=instruction.event_id)
        if instruction.event_id is not None and not instruction.wrote(reply.records[0].metadata):
            earlier = tuple(record.data for record in reply.records)
            return await self._duplicate(aggregate, earlier, reply.position)
        aggregate.take(events, reply)
        return Executed(events, aggregate.state, aggregate.version, aggregate.position)

    async def _without_events(
        self, aggregate: Aggregate[State, Event], instruction: Instruction, refusal: Exception | None
    ) -> Executed[State, Event]:
        """Return that nothing happened, or raise why; unless the command was carried out before."""
        if instruction.event_id is not None and aggregate.version > 0:
            earlier = await aggregate.stored_as(instruction.event_id)
            if earlier is not None:
                return await self._duplicate(aggregate, earlier.events, earlier.position)
        if refusal is not None:
            raise refusal
        return Executed((), aggregate.state, aggregate.version, aggregate.position)

    async def _duplicate(
        self, aggregate: Aggregate[State, Event], earlier: tuple[Event, ...], position: int
    ) -> Executed[State, Event]:
        await aggregate.catch_up()
        return Executed(earlier, aggregate.state, aggregate.version, position, duplicate=True)

    async def _make_current(self, aggregate: Aggregate[State, Event]) -> None:
        if aggregate.is_loaded:
            await aggregate.catch_up()
        else:
            await aggregate.load(self._state_type)

    async def _save_snapshot(self, aggregate: Aggregate[State, Event]) -> None:
        aggregate.snapshot_version = aggregate.version  # also if it fails: the next attempt is as far away
        try:
            await self._journal.snapshots.save_snapshot(
                aggregate.stream_id, aggregate.state, sequence_number=aggregate.version, keep=SNAPSHOTS_KEPT
            )
        except Exception as error:
            message = f"the snapshot of {aggregate.stream_id!r} at {aggregate.version} could not be saved: {error}"
            warnings.warn(message, UnsavedSnapshotWarning, stacklevel=3)

    def _new_aggregate(self, stream_id: str) -> Aggregate[State, Event]:
        journal, replica_id = self._journal, self.replica_id
        if replica_id is None:
            stream = journal.event_stream(stream_id, self._event_type)
            return PlainAggregate(self.decider, stream, lambda: journal.event_stream(stream_id, UntypedEvent))
        return ReplicatedAggregate(
            self.decider,
            self._conflict_policy,
            lambda: journal.replicated_event_stream(stream_id, self._event_type, replica_id=replica_id),
            lambda: journal.replicated_event_stream(stream_id, UntypedEvent, replica_id=replica_id),
        )

    def _stream_id(self, stream_id: str | Identifier) -> str:
        if not isinstance(stream_id, str | Identifier):
            raise TypeError(f"stream_id must be a str or an Identifier, not {shortened(stream_id)}")
        return f"{self.prefix}{stream_id}"
