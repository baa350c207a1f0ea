"""Replicas that exchange logs and states at random, crash, checkpoint and forget, against plain CRDTs.

The model of a replica is, for each key, a plain CRDT and the list of operations that it has seen; exchanging is to
apply what the other has. The replicas must show the same at every step.
"""

from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from itertools import count
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from calliope.flow.clock import ManualClock
from calliope.stores.memory import MemoryStore
from calliope.stores.replica_store import ReplicaStore
from crdts import BoundedCounter, Crdt, CrdtError, GCounter, LWWMap, Operation, ORMap, ORSet, PNCounter, Text
from replication.replicator import Replicator
from tests.unit.replication.replicators import EVERYTHING, Peers, send

REPLICAS = 3
TYPES: dict[str, type[Any]] = {
    "counter": PNCounter,
    "visits": GCounter,
    "set": ORSet,
    "text": Text,
    "map": ORMap,
    "last": LWWMap,
    "stock": BoundedCounter,
}

Command = Callable[[Any], object]


def _insert(text: Any, place: int) -> None:
    text.insert(min(place, len(text.value)), "ab")


COMMANDS: dict[str, list[Command]] = {
    "counter": [lambda c: c.increment(2), lambda c: c.decrement(1), lambda c: c.clear()],
    "visits": [lambda c: c.increment(3), lambda c: c.clear()],
    "set": [
        lambda s: s.add("x"),
        lambda s: s.remove("x"),
        lambda s: [s.add("y"), s.remove("x")],
        lambda s: s.clear(),
        lambda s: None,
    ],
    "text": [lambda t: _insert(t, 0), lambda t: _insert(t, 3), lambda t: t.delete(0) if t.value else None],
    "map": [
        lambda m: m.update("n", PNCounter, lambda c: c.increment()),
        lambda m: m.remove("n"),
        lambda m: m.update("s", ORSet, lambda s: s.add(1)),
    ],
    "last": [lambda m: m.assign("k", 1), lambda m: m.assign("k", 2), lambda m: m.remove("k")],
    "stock": [lambda c: c.increment(2), lambda c: c.decrement(1), lambda c: c.decrement(3)],
}


class Model:
    """What one replica must show."""

    def __init__(self, log_id: str) -> None:
        self.states: dict[str, Any] = {key: crdt_type(log_id) for key, crdt_type in TYPES.items()}
        self.operations: dict[str, list[Operation]] = {key: [] for key in TYPES}

    def learn(self, other: "Model") -> None:
        for key, operations in other.operations.items():
            for operation in operations:
                if self.states[key].apply(operation):
                    self.operations[key].append(operation)

    def listed(self) -> list[str]:
        return sorted(key for key, operations in self.operations.items() if _is_listed(operations))


def _is_listed(operations: list[Operation]) -> bool:
    clears = [operation for operation in operations if operation.action == "clear"]
    return any(
        operation.action != "clear" and not any(clear.saw(operation.replica_id, operation.counter) for clear in clears)
        for operation in operations
    )


class Replica:
    """A replicator that can be restarted, and its model."""

    def __init__(self, portal: BlockingPortal, index: int) -> None:
        self.portal = portal
        self.index = index
        self.log_id = f"{'abc'[index]}~01"
        self.store: MemoryStore = portal.call(_opened, self.log_id)
        self.model = Model(self.log_id)
        self.peers: Any = None
        self.handed_out: dict[str, tuple[Any, Any]] = {}

    def start(self) -> None:
        self.run, self.replicator = self.portal.start_task(self._run)

    async def _run(self, *, task_status: Any) -> None:
        store: ReplicaStore = self.store
        ticks = count(1)
        replicator = Replicator(
            store,
            self.peers,
            clock=ManualClock(),
            wall_clock=lambda: next(ticks),
            cached_keys_max=CACHED_KEYS[self.index],
            behind_bytes_max=4_000,
            log_kept_bytes=300,
        )
        task_status.started(replicator)
        await replicator.run()

    def crash(self) -> None:
        self.run.cancel()
        self.start()
        self.handed_out.clear()


async def _opened(log_id: str) -> MemoryStore:
    store = MemoryStore()
    await store.use_log(log_id)
    return store


replicas = st.integers(0, REPLICAS - 1)
places = st.integers(0, 11)
CACHED_KEYS = [1, 2, 100]


class Replicators(RuleBasedStateMachine):
    @initialize(keys=st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=2, unique=True))
    def open(self, keys: list[str]) -> None:
        self.keys = keys
        self.exits = ExitStack()
        self.portal = self.exits.enter_context(start_blocking_portal())
        self.replicas = [Replica(self.portal, index) for index in range(REPLICAS)]
        stores = [replica.store for replica in self.replicas]
        for index, replica in enumerate(self.replicas):
            replica.peers = Peers(stores[index], *stores[:index], *stores[index + 1 :])
            replica.start()

    def command(self, place: int, choice: int) -> tuple[str, Command]:
        key = self.keys[place % len(self.keys)]
        return key, COMMANDS[key][choice % len(COMMANDS[key])]

    def await_(self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
        return self.portal.call(function, *arguments)

    @rule(index=replicas, place=places, choice=places)
    def update(self, index: int, place: int, choice: int) -> None:
        replica, (key, command) = self.replicas[index], self.command(place, choice)
        state, done = replica.model.states[key], replica.model.operations[key]
        trial, expected = state.copy(), None
        made: list[Operation] = []
        trial.listen(made.append)
        try:
            command(trial)
        except CrdtError as error:
            expected = type(error)
            made.clear()
        for operation in made:
            state.apply(operation)
        done += made
        if expected is None:
            self.await_(replica.replicator.update, key, TYPES[key], command)
        else:
            with pytest.raises(expected):
                self.await_(replica.replicator.update, key, TYPES[key], command)

    @rule(index=replicas, place=places, choice=places)
    def change_value(self, index: int, place: int, choice: int) -> None:
        replica, (key, command) = self.replicas[index], self.command(place, choice)
        state = replica.model.states[key]
        if key not in replica.handed_out:
            replica.handed_out[key] = (self.await_(replica.replicator.get, key, TYPES[key]), state.copy())
            return
        value, twin = replica.handed_out.pop(key)
        made: list[Operation] = []
        twin.listen(made.append)
        for changed in (value, twin):
            try:
                command(changed)
            except CrdtError:
                return
        try:
            adopted = state.adopt(made)
        except CrdtError as error:
            with pytest.raises(type(error)):
                self.await_(replica.replicator.update, key, value)
            return
        replica.model.operations[key] += adopted
        self.await_(replica.replicator.update, key, value)
        assert value == state
        replica.handed_out[key] = (value, state.copy())

    @rule(index=replicas, place=places)
    def delete(self, index: int, place: int) -> None:
        replica, key = self.replicas[index], self.keys[place % len(self.keys)]
        if key in replica.model.listed():
            replica.model.operations[key].append(replica.model.states[key].clear())
        self.await_(replica.replicator.delete, key)

    @rule(source=replicas, sink=replicas)
    def exchange(self, source: int, sink: int) -> None:
        a, b = self.replicas[source], self.replicas[sink]
        if a is b:
            return
        if b.store.vector.descends(a.store.floor):
            self.await_(send, a.store, b.store)
        else:
            self.await_(self._snapshot, a, b)
        b.model.learn(a.model)

    @rule(source=replicas, sink=replicas)
    def take_states_over(self, source: int, sink: int) -> None:
        if source != sink:
            self.await_(self._snapshot, self.replicas[source], self.replicas[sink])
            self.replicas[sink].model.learn(self.replicas[source].model)

    @rule(index=replicas)
    def crash(self, index: int) -> None:
        self.replicas[index].crash()

    @rule(index=replicas)
    def checkpoint(self, index: int) -> None:
        self.await_(self.replicas[index].replicator.checkpoint)

    @invariant()
    def every_key_is_what_its_operations_make(self) -> None:
        for replica in self.replicas:
            self.await_(self._compare, replica, self.keys)

    async def _compare(self, replica: Replica, keys: list[str]) -> None:
        for key in keys:
            expected = replica.model.states[key]
            value: Crdt = await replica.replicator.get(key, TYPES[key])
            assert value == expected, (replica.log_id, key)
            assert value.value == expected.value
        assert await replica.replicator.keys().run_collect() == replica.model.listed()
        assert replica.replicator.quarantined == 0

    async def _snapshot(self, a: Replica, b: Replica) -> None:
        cut, after, complete = a.store.vector, "", False
        while not complete:
            states, after, complete = await a.replicator.export_states(after, 200)
            await b.replicator.merge_states(states)
        await b.replicator.install(cut)
        page = await a.store.read_log(have=b.store.vector, after=0, bytes_max=EVERYTHING)
        await b.store.receive(page.entries)

    def teardown(self) -> None:
        if hasattr(self, "exits"):
            for replica in self.replicas:
                replica.run.cancel()
            self.exits.close()


def test_replicas_show_what_plain_crdts_show():
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Replicators, settings=settings(max_examples=60, stateful_step_count=30, deadline=None, derandomize=True)
    )
