"""Three journals that exchange their logs in any order, against a model that is a list of what each has seen.

Two of them live in memory; the third is a file, is killed, and is opened again.
"""

import asyncio
import shutil
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from calliope import ConcurrentVersions, Journal, ReplicaIdInUseError, ReplicatedEventStream
from calliope.stores.memory import MemoryStore
from calliope.stores.replica_store import ReplicaStore
from calliope.verification import verify_journal
from tests.unit.calliope.replicas import store_of

REPLICAS = ("berlin", "paris", "rome")
IN_A_FILE = "berlin"
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
        self.folder = TemporaryDirectory()
        self.openings = 0
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
        self.path.parent.mkdir()
        for replica_id in REPLICAS:
            if replica_id != IN_A_FILE:
                self.enter(replica_id, Journal(_new_memory_store))
        self.enter(IN_A_FILE, Journal.open(self.path, durability="relaxed"))

    @property
    def path(self) -> Path:
        return Path(self.folder.name) / str(self.openings) / "journal.db"

    def enter(self, replica_id: str, journal: Journal) -> None:
        self.journals[replica_id] = journal
        self.run(journal.__aenter__())
        self.stores[replica_id] = store_of(journal)
        for stream in STREAMS:
            self.handles[replica_id, stream] = self.handle(replica_id, stream)

    def handle(self, replica_id: str, stream: str) -> ReplicatedEventStream[Noted]:
        return self.journals[replica_id].replicated_event_stream(stream, Noted, replica_id=replica_id)

    def teardown(self) -> None:
        for journal in self.journals.values():
            self.run(journal.__aexit__(None, None, None))
        self.run(self.loop.shutdown_asyncgens())
        self.loop.close()
        self.folder.cleanup()

    @rule(replica_id=st.sampled_from(REPLICAS), stream=st.sampled_from(STREAMS), count=st.integers(1, 3))
    def persist(self, replica_id: str, stream: str, count: int) -> None:
        self.write(replica_id, stream, count)

    def write(self, replica_id: str, stream: str, count: int) -> None:
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
        self.replace_handle(replica_id, stream)

    def replace_handle(self, replica_id: str, stream: str) -> None:
        """A handle made anew has observed what its predecessor had when that last wrote, as soon as it writes."""
        model = self.models[replica_id]
        self.handles[replica_id, stream] = self.handle(replica_id, stream)
        own = [event for event in model.events[stream] if event.writer == replica_id]
        model.seen[stream] = set(self.pasts[own[-1]]) if own else set()

    @rule(replica_id=st.sampled_from(REPLICAS), stream=st.sampled_from(STREAMS))
    def write_with_two_live_handles(self, replica_id: str, stream: str) -> None:
        """The handle that wrote last goes on; the other one is refused, and nothing changes."""
        self.write(replica_id, stream, 1)
        first = self.handles[replica_id, stream]
        self.replace_handle(replica_id, stream)
        self.write(replica_id, stream, 1)
        with pytest.raises(ReplicaIdInUseError):
            self.run(first.persist(Noted(replica_id, -1)))

    @rule(killed=st.booleans())
    def reopen(self, killed: bool) -> None:
        """Close the journal that lives in a file, or leave it as a kill would, and open it again."""
        journal, path = self.journals[IN_A_FILE], self.path
        vector, log_id = self.stores[IN_A_FILE].vector, self.stores[IN_A_FILE].log_id
        if killed:
            self.openings += 1
            shutil.copytree(path.parent, self.path.parent)
        self.run(journal.__aexit__(None, None, None))
        assert verify_journal(self.path).damages == []
        self.enter(IN_A_FILE, Journal.open(self.path, durability="relaxed"))
        assert (self.stores[IN_A_FILE].vector, self.stores[IN_A_FILE].log_id) == (vector, log_id)
        for stream in STREAMS:
            self.replace_handle(IN_A_FILE, stream)
            self.write(IN_A_FILE, stream, 1)  # what was observed and written before is known at once

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


async def _new_memory_store() -> MemoryStore:
    return MemoryStore()


TestReplicatedJournals = ReplicatedJournals.TestCase
TestReplicatedJournals.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
