"""Three journals that exchange their logs in any order, against a model that is a list of what each has seen."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from calliope import ConcurrentVersions, Journal, ReplicatedEventStream
from calliope.stores.memory import MemoryStore
from calliope.stores.replica_store import ReplicaStore

REPLICAS = ("berlin", "paris", "rome")
STREAMS = ("s", "t")


@dataclass(frozen=True)
class Noted:
    """An event that says who wrote it, and how often he had written anything before."""

    writer: str
    number: int


@dataclass
class Model:
    """What one replica ought to hold: entries in its order, each of events with what their writer had observed.

    `seen` is what its handle on each stream has observed: a set of events, not a vector.
    """

    events: dict[str, list[Noted]] = field(default_factory=lambda: {stream: [] for stream in STREAMS})
    log: list[tuple[str, list[Noted]]] = field(default_factory=list)
    seen: dict[str, set[Noted]] = field(default_factory=lambda: {stream: set() for stream in STREAMS})


class ReplicatedJournals(RuleBasedStateMachine):
    """Runs each step on real journals in memory and on the model, and compares what can be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stores: dict[str, ReplicaStore] = {}
        self.journals: dict[str, Journal] = {}
        self.handles: dict[tuple[str, str], ReplicatedEventStream[Noted]] = {}
        self.models = {replica_id: Model() for replica_id in REPLICAS}
        self.pasts: dict[Noted, frozenset[Noted]] = {}
        self.count = 0

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    @initialize()
    def open(self) -> None:
        for replica_id in REPLICAS:
            store = self.stores[replica_id] = MemoryStore()
            journal = self.journals[replica_id] = Journal(_returning(store))
            self.run(journal.__aenter__())
            for stream in STREAMS:
                self.handles[replica_id, stream] = self.handle(replica_id, stream)

    def handle(self, replica_id: str, stream: str) -> ReplicatedEventStream[Noted]:
        return self.journals[replica_id].replicated_event_stream(stream, Noted, replica_id=replica_id)

    def teardown(self) -> None:
        for journal in self.journals.values():
            self.run(journal.__aexit__(None, None, None))
        self.loop.close()

    @rule(replica_id=st.sampled_from(REPLICAS), stream=st.sampled_from(STREAMS), count=st.integers(1, 3))
    def persist(self, replica_id: str, stream: str, count: int) -> None:
        model = self.models[replica_id]
        new = [Noted(replica_id, self.count + index) for index in range(count)]
        self.count += count
        reply = self.run(self.handles[replica_id, stream].persist(new))
        own = {event for event in model.events[stream] if event.writer == replica_id}
        model.seen[stream] |= own
        unseen = [event for event in model.events[stream] if event not in model.seen[stream]]
        assert [record.data for record in reply.concurrent_updates] == unseen
        assert reply.concurrent_update_detected == bool(unseen)
        past = frozenset(model.seen[stream])
        for event, record in zip(new, reply.records, strict=True):
            self.pasts[event] = past = past | {event}
            assert record.version == _version(past)
        model.seen[stream] |= {*unseen, *new}
        model.events[stream] += new
        model.log.append((stream, new))

    @rule(replica_id=st.sampled_from(REPLICAS), stream=st.sampled_from(STREAMS), count=st.integers(0, 5))
    def query(self, replica_id: str, stream: str, count: int) -> None:
        model = self.models[replica_id]
        found = self.run(self.handles[replica_id, stream].query().take(count).run_collect())
        assert found == model.events[stream][:count]
        model.seen[stream].update(found)

    @rule(origin=st.sampled_from(REPLICAS), receiver=st.sampled_from(REPLICAS), entry_count=st.integers(1, 4))
    def send(self, origin: str, receiver: str, entry_count: int) -> None:
        """Hand over the first few entries that the receiver lacks."""
        self.hand_over(origin, receiver, entry_count)

    def hand_over(self, origin: str, receiver: str, entry_count: int) -> None:
        self.run(self.send_entries(origin, receiver, entry_count))
        ours, theirs = self.models[origin], self.models[receiver]
        lacked = [entry for entry in ours.log if entry not in theirs.log][:entry_count]
        for stream, events in lacked:
            theirs.log.append((stream, events))
            theirs.events[stream] += events

    async def send_entries(self, origin: str, receiver: str, entry_count: int) -> None:
        page = await self.stores[origin].read_log(have=self.stores[receiver].vector, after=0, bytes_max=1_000_000)
        await self.stores[receiver].receive(page.entries[:entry_count])

    @precondition(lambda self: self.count)
    @rule(replica_id=st.sampled_from(REPLICAS), stream=st.sampled_from(STREAMS))
    def open_another_handle(self, replica_id: str, stream: str) -> None:
        """A handle made anew has observed what its predecessor had when that last wrote, as soon as it writes."""
        model = self.models[replica_id]
        self.handles[replica_id, stream] = self.handle(replica_id, stream)
        own = [event for event in model.events[stream] if event.writer == replica_id]
        model.seen[stream] = set(self.pasts[own[-1]]) if own else set()

    @invariant()
    def streams_hold_what_they_ought_to(self) -> None:
        for replica_id, journal in self.journals.items():
            for stream in STREAMS:
                reader = journal.replicated_event_stream(stream, Noted, replica_id="reader")
                records = self.run(reader.records().run_collect())
                assert [record.data for record in records] == self.models[replica_id].events[stream]
                assert [record.version for record in records] == [_version(self.pasts[r.data]) for r in records]

    @rule()
    def converge(self) -> None:
        """After everything went everywhere all replicas are equal, but for the order of their streams."""
        for origin in REPLICAS * 2:
            for receiver in REPLICAS:
                self.hand_over(origin, receiver, 1_000_000)
        vectors = {store.vector for store in self.stores.values()}
        assert len(vectors) == 1
        for stream in STREAMS:
            latest = {self.run(self.latest(replica_id, stream)) for replica_id in REPLICAS}
            assert len(latest) == 1

    async def latest(self, replica_id: str, stream: str) -> ConcurrentVersions[Noted]:
        reader = self.journals[replica_id].replicated_event_stream(stream, Noted, replica_id="reader")
        return await reader.records().run_fold(ConcurrentVersions(), ConcurrentVersions.adding)


def _version(past: frozenset[Noted]) -> dict[str, int]:
    return {writer: count for writer in REPLICAS if (count := sum(event.writer == writer for event in past))}


def _returning(store: MemoryStore) -> Callable[[], Coroutine[Any, Any, MemoryStore]]:
    async def open_store() -> MemoryStore:
        return store

    return open_store


TestReplicatedJournals = ReplicatedJournals.TestCase
TestReplicatedJournals.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
