"""`Replica`: what the director can tell a replica to do. Each method is a command; its result travels as JSON."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from anyio import create_task_group
from anyio.abc import TaskGroup

from calliope import ConcurrentVersions, PersistReply, RecordedEvent, ReplicatedEventStream, UntypedEvent
from calliope.stores.replica_store import ReplicaStore
from crdts import Crdt, ORSet, PNCounter
from examples.demo.ledger import Json, fingerprint
from examples.demo.severable_transport import SeverableTransport
from replication import Node, Replicator, VersionToken
from replication.core.agreement import Replicas

C = TypeVar("C", bound=Crdt)

QUORUM_SECONDS = 20.0
"""How long others may take to answer, on a machine that has more to do."""


class Replica:
    """A replica at work.

    Args:
        node: its node, entered.
        transport: its network.
        tasks: where it follows things.
        tell: tells the director something it did not ask for, by a name.
    """

    def __init__(
        self, node: Node, transport: SeverableTransport, tasks: TaskGroup, tell: Callable[[str, Json], None]
    ) -> None:
        self._node = node
        self._transport = transport
        self._tasks = tasks
        self._tell = tell
        self._streams: dict[str, ReplicatedEventStream[UntypedEvent]] = {}

    # Event streams.

    async def persist(self, stream: str, event: Json, event_id: str | None = None) -> Json:
        """Persist one event; tell where it stands and what was concurrent to it."""
        return _told(await self._stream(stream).persist(_event(event), event_id=event_id, **_context(event)))

    async def replay(self, streams: dict[str, list[Json]]) -> None:
        """Persist events of many streams, those of one stream in order; return when all are durable."""
        async with create_task_group() as tasks:
            for stream, events in streams.items():
                tasks.start_soon(self._replay_one, stream, events)

    async def follow_conflicts(self, stream: str) -> None:
        """Tell from now on what arrives concurrently to what this replica has observed of a stream."""
        conflicts = self._stream(stream).conflicts()
        self._tasks.start_soon(conflicts.run_for_each, lambda record: self._tell("conflict", _recorded(record)))

    async def latest(self, stream: str) -> Json:
        """Tell the events of a stream that no other has observed, and which of them was written last."""
        latest = await self._latest(stream)
        return {"versions": [_recorded(record) for record in latest], "last": _recorded(latest.last_written())}

    async def resolve(self, stream: str, field: str) -> Json:
        """Persist an event that joins a field of all concurrent ones, and stands in their place."""
        latest = await self._latest(stream)
        merged = latest.merged(partial(_joined, field))
        reply = await latest.resolve(self._stream(stream), merged)
        return {**_told(reply), "event": [merged.type, merged.data]}

    # Keys.

    async def increment(self, key: str, by: int = 1, replicas: Replicas = 1, timeout: float = QUORUM_SECONDS) -> str:
        """Add to a counter; return the update's token."""
        return await self._update(key, PNCounter, lambda counter: counter.increment(by), replicas, timeout)

    async def add(self, key: str, element: str, replicas: Replicas = 1, timeout: float = QUORUM_SECONDS) -> str:
        """Add to a set; return the update's token."""
        return await self._update(key, ORSet, lambda elements: elements.add(element), replicas, timeout)

    async def remove(self, key: str, element: str, replicas: Replicas = 1, timeout: float = QUORUM_SECONDS) -> str:
        """Remove from a set; return the update's token."""
        return await self._update(key, ORSet, lambda elements: elements.remove(element), replicas, timeout)

    async def value(self, key: str) -> Json:
        """Tell the value that is shown here."""
        found = await self._replicator.find(key)
        return None if found is None else _shown(found)

    async def read(self, key: str, replicas: Replicas) -> int:
        """Tell the value of a counter that some replicas know together."""
        return (await self._replicator.get(key, PNCounter, replicas, QUORUM_SECONDS)).value

    async def wait_until(self, key: str, at_least: int) -> int:
        """Return the value of a counter once it is large enough."""
        reached = await self._replicator.wait_until(key, lambda counter: counter.value >= at_least)
        return int(reached.value)

    # What is held.

    async def vector(self) -> dict[str, int]:
        """Tell the version of everything: how much of each log is held durably."""
        return dict(self._store.vector)

    async def catch_up(self, vector: dict[str, int]) -> None:
        """Return when everything up to a version is held and shown here."""
        for log_id, number in vector.items():
            await self._replicator.wait_until_version(VersionToken(log_id, number))

    async def inventory(self) -> Json:
        """Tell everything: the version, all keys with their values and versions, and all events of all streams."""
        found = await self._all_keys()
        keys = {key: [type(value).__name__, _shown(value), dict(value.version)] for key, value in found.items()}
        streams: dict[str, list[Json]] = {}
        async for record in self._node.journal.records(event_type=UntypedEvent):
            streams.setdefault(record.stream_id, []).append([record.id, record.replica_id, _fingerprint(record)])
        return {"vector": await self.vector(), "keys": keys, "streams": streams}

    async def status(self) -> Json:
        """Tell in short how it stands."""
        return {
            "connected": sorted(self._node.peers),
            "entries": sum(self._store.vector.values()),
            "values": {key: _shown(value) for key, value in (await self._all_keys()).items()},
        }

    # The network.

    async def sever(self) -> None:
        """Pull the cable."""
        await self._transport.sever()

    async def mend(self) -> None:
        """Plug it in again."""
        await self._transport.mend()

    # What they share.

    @property
    def _replicator(self) -> Replicator:
        return self._node.replicator

    @property
    def _store(self) -> ReplicaStore:
        store = self._node.journal.store
        assert isinstance(store, ReplicaStore)
        return store

    async def _all_keys(self) -> dict[str, Crdt]:
        keys = await self._replicator.keys().run_collect()
        found = {key: await self._replicator.find(key) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    def _stream(self, stream: str) -> ReplicatedEventStream[UntypedEvent]:
        """Return the one handle that this replica has on a stream."""
        if stream not in self._streams:
            self._streams[stream] = self._node.journal.replicated_event_stream(
                stream, UntypedEvent, replica_id=self._node.replica_id
            )
        return self._streams[stream]

    async def _replay_one(self, stream: str, events: list[Json]) -> None:
        for event in events:
            await self._stream(stream).persist(_event(event), **_context(event))

    async def _latest(self, stream: str) -> ConcurrentVersions[UntypedEvent]:
        records = self._stream(stream).records()
        nothing: ConcurrentVersions[UntypedEvent] = ConcurrentVersions()
        return await records.run_fold(nothing, ConcurrentVersions.adding)

    async def _update(
        self, key: str, crdt_type: type[C], change: Callable[[C], object], replicas: Replicas, timeout: float
    ) -> str:
        return str(await self._replicator.update(key, crdt_type, change, replicas=replicas, timeout=timeout))


def _event(event: Json) -> UntypedEvent:
    return UntypedEvent(event["type"], event["data"], event["schema_version"])


def _context(event: Json) -> Json:
    return {"tags": event["tags"], "metadata": event["metadata"]}


def _fingerprint(record: RecordedEvent[UntypedEvent]) -> str:
    event = record.data
    return fingerprint(event.type, event.data, event.schema_version, sorted(record.tags), dict(record.metadata))


def _recorded(record: RecordedEvent[UntypedEvent]) -> Json:
    return {"id": record.id, "by": record.replica_id, "type": record.type, "data": record.data.data}


def _told(reply: PersistReply[UntypedEvent]) -> Json:
    return {
        "sequence_number": reply.sequence_number,
        "concurrent_update_detected": reply.concurrent_update_detected,
        "concurrent_updates": [_recorded(record) for record in reply.concurrent_updates],
    }


def _joined(field: str, one: UntypedEvent, other: UntypedEvent) -> UntypedEvent:
    return UntypedEvent(one.type, {**one.data, field: f"{one.data[field]}; {other.data[field]}"}, one.schema_version)


def _shown(value: Crdt) -> Json:
    return sorted(value.value) if isinstance(value, ORSet) else value.value
