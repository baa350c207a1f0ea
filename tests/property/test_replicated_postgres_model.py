"""The model of `test_replicated_model`, with one of the three journals on PostgreSQL, opened twice.

What concerns one stream goes through one of the two, what concerns the other stream through the other, and entries of
other replicas through either: so what each remembers is out of date all the time.
"""

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from calliope import Journal, ReplicatedEventStream
from calliope.stores.replica_store import ReplicaStore
from tests import postgres
from tests.property.test_replicated_model import REPLICAS, STREAMS, Noted, ReplicatedJournals, _new_memory_store
from tests.unit.calliope.replicas import store_of

ON_SERVER = "berlin"


class PostgresReplicatedJournals(ReplicatedJournals):
    """Runs the steps on one journal in memory for each of two replicas, and on two of one schema for the third."""

    url: str

    @initialize()
    def open(self) -> None:
        self.url = self.new_url()
        self.turns = count()
        for replica_id in REPLICAS:
            if replica_id != ON_SERVER:
                self.enter(replica_id, Journal(_new_memory_store))
        self.enter_both()

    def new_url(self) -> str:
        raise NotImplementedError

    def enter_both(self) -> None:
        self.both = [Journal.open(self.url) for _ in range(2)]
        for journal in self.both:
            self.run(journal.__aenter__())
        self.journals[ON_SERVER], self.journals["beside"] = self.both
        for stream in STREAMS:
            self.handles[ON_SERVER, stream] = self.handle(ON_SERVER, stream)
        self.models["beside"] = self.models[ON_SERVER]
        self.stores[ON_SERVER] = self.freshest()

    def freshest(self) -> ReplicaStore:
        return max(map(store_of, self.both), key=lambda store: store.log_tail.position)

    def handle(self, replica_id: str, stream: str) -> ReplicatedEventStream[Noted]:
        if replica_id != ON_SERVER:
            return super().handle(replica_id, stream)
        return self.both[STREAMS.index(stream)].replicated_event_stream(stream, Noted, replica_id=replica_id)

    async def send_entries(self, origin: str, receiver: str, entry_count: int) -> None:
        self.stores[ON_SERVER] = fresh = self.freshest()
        page = await self.stores[origin].read_log(have=self.stores[receiver].vector, after=0, bytes_max=1_000_000)
        taker = store_of(self.both[next(self.turns) % 2]) if receiver == ON_SERVER else self.stores[receiver]
        await taker.receive(page.entries[:entry_count])
        self.stores[ON_SERVER] = self.freshest()
        assert self.stores[ON_SERVER].log_tail.position >= fresh.log_tail.position

    @rule(killed=st.booleans())
    def reopen(self, killed: bool) -> None:
        """Open both again, before or after those that were open are closed."""
        before, vector = self.both, self.freshest().vector
        if not killed:
            self.close(before)
        self.enter_both()
        for journal in self.both:
            assert store_of(journal).vector == vector
        for stream in STREAMS:
            self.replace_handle(ON_SERVER, stream)
            self.write(ON_SERVER, stream, 1)  # what was observed and written before is known at once
        if killed:
            self.close(before)

    def close(self, journals: list[Journal]) -> None:
        for journal in journals:
            self.run(journal.__aexit__(None, None, None))

    @rule()
    def converge(self) -> None:
        self.run(store_of(self.both[0]).remember("turn", b""))  # whoever commits knows what the other wrote
        super().converge()


@pytest.fixture(scope="module")
def machine() -> Iterator[type[PostgresReplicatedJournals]]:
    """Lend a machine whose journals are schemas of one server."""
    with postgres.server(waits_for_disk=False) as url:

        class Machine(PostgresReplicatedJournals):
            def new_url(self) -> str:
                return postgres.url_of_schema(url, postgres.new_schema())

        yield Machine


@pytest.mark.soak
def test_two_open_journals_of_one_schema_and_two_in_memory_do_what_the_model_does(machine):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
