"""The memory store: a journal that lasts as long as its process; for tests, and for state that may be lost."""

import os
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from heapq import nsmallest
from itertools import chain, islice, takewhile

import msgspec
from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint

from calliope.errors import ExpectedVersionError, JournalClosedError, StreamKindError
from calliope.stores.entry_checks import check_whole, checked_changes
from calliope.stores.log_state import check_forgettable, new_log_id
from calliope.stores.log_tail import LogTail
from calliope.stores.memory_log import MemoryLog
from calliope.stores.protocol import AppendRequest, Page, StoredSnapshot, StreamSummary, before_last_seen
from calliope.stores.record import NewEvent, Selection, StoredRecord, StreamKind, position_of_minted_id
from calliope.stores.replica_store import Appended, LogPage, StoredState, Writing
from calliope.stores.run import RecordRun
from calliope.stores.stream_versions import StreamVersions, appended_before, new_events, unobserved
from calliope.stores.tail import Tail
from calliope.stores.versioned import EntryGathering, LogEntry, Versioned, encode_change
from crdts import VersionVector
from crdts.version_vector import NOTHING_SEEN

SCAN_POSITIONS_MAX = 20_000
"""How far one page looks for records that match a selection; it may come back empty and further on."""


class MemoryStore:
    """Keeps records in lists.

    Attributes:
        journal_id: names this journal among all others.
        tail: the newest records and the wake-up of live readers.
    """

    places_in_order = True

    def __init__(self) -> None:
        self.journal_id = os.urandom(8).hex()
        self.tail = Tail()
        self._records: list[StoredRecord] = []
        self._streams: dict[str, dict[StreamKind, list[StoredRecord]]] = {}
        self._versions: defaultdict[str, StreamVersions] = defaultdict(StreamVersions)
        self._named: dict[tuple[str, StreamKind, str], list[StoredRecord]] = {}
        self._snapshots: defaultdict[str, dict[int, StoredSnapshot]] = defaultdict(dict)
        self._log = MemoryLog()
        self._gathering: _Gathering | None = None
        self._closed = False

    @property
    def log_tail(self) -> LogTail:
        """The newest log entries."""
        return self._log.tail

    @property
    def log_id(self) -> str:
        """The log in which what is written here is numbered; see `ReplicaStore`."""
        return self._log.state.log_id

    @property
    def vector(self) -> VersionVector:
        """The number of the last entry held of each log."""
        return self._log.state.vector

    @property
    def floor(self) -> VersionVector:
        """What is held only in states."""
        return self._log.state.floor

    @property
    def checkpoint(self) -> int:
        """The log position through which the stored states contain everything."""
        return self._log.state.checkpoint

    async def append(self, request: AppendRequest) -> list[StoredRecord]:
        """Keep a request's events; see `EventStore.append`."""
        await self._turn()
        if request.kind != "plain":
            self._check_kind(request)
            raise ValueError("what is written to a replicated stream must say who writes it: use append_replicated")
        earlier = self._written_before(request)
        if earlier is not None:
            return earlier
        self._check(request)
        records = self._keep(request.stream_id, "plain", request.events, request.timestamp, request.event_id)
        self.tail.publish(records)
        return records

    async def append_replicated(self, request: AppendRequest, writing: Writing) -> Appended:
        """Keep events of a replicated stream; see `ReplicaStore.append_replicated`."""
        await self._turn()
        earlier = self._named.get((request.stream_id, "replicated", request.event_id or ""))
        if earlier is not None:
            stream = self._of_kind(request.stream_id, "replicated")
            return appended_before(earlier, writing, reversed(stream[: earlier[0].sequence_number - 1]))
        self._check(request)
        if not self.log_id:
            self._log.state = self._log.state.using(new_log_id(writing.replica_id))
        versions = self._versions[request.stream_id]
        change = versions.change(request, writing, self._log.state.writer(writing.replica_id))
        news = unobserved(change, versions, reversed(self._of_kind(request.stream_id, "replicated")))
        records = self._keep_change(change)
        versions.note(change, writing.token)
        gathering = EntryGathering(self.log_id, self.vector[self.log_id])
        gathering.add("events", [encode_change(change)])
        self._log.add(gathering.entries())
        self.tail.publish(records)
        return news.reply(records)

    async def stream_version(self, stream_id: str) -> VersionVector:
        """Return how far each writer has come; see `ReplicaStore.stream_version`."""
        await self._turn()
        versions = self._versions.get(stream_id)
        return VersionVector.wrap(versions.counters) if versions is not None else NOTHING_SEEN

    async def use_log(self, log_id: str) -> None:
        """Number what is written from now on in another log; see `ReplicaStore.use_log`."""
        await self._turn()
        self._log.state = self._log.state.using(log_id)

    async def append_operations(self, changes: Sequence[Versioned]) -> tuple[str, int]:
        """Keep operations; those who call at once share entries; see `ReplicaStore.append_operations`."""
        self._check_open()
        if not changes or not self.log_id:
            raise ValueError("there are no operations" if self.log_id else "no log was ever used")
        encoded = list(map(encode_change, changes))
        gathering = self._gathering = self._gathering or _Gathering()
        gathering.requests.append(encoded)
        place = len(gathering.requests) - 1
        await cancel_shielded_checkpoint()
        self._finish_gathering()
        return gathering.log_id, gathering.numbers[place]

    async def receive(self, entries: Sequence[LogEntry], *, snapshot: VersionVector | None = None) -> None:
        """Keep other replicas' entries; see `ReplicaStore.receive`."""
        await self._turn()
        for entry in entries:
            check_whole(entry)
        new = self._log.new_among(entries, snapshot or NOTHING_SEEN)
        changes = list(chain.from_iterable([checked_changes(entry) for entry in new if entry.kind == "events"]))
        records: list[StoredRecord] = []
        for change in changes:
            records += self._keep_change(change)
            self._versions[change.stream_id].note(change)
        self._log.add(new)
        self.tail.publish(records)

    async def read_log(self, *, have: VersionVector, after: int, bytes_max: int) -> LogPage:
        """Return log entries; see `ReplicaStore.read_log`."""
        await self._turn()
        return self._log.page(have, after, bytes_max)

    async def load_state(self, key: str) -> StoredState | None:
        """Return a key's state; see `ReplicaStore.load_state`."""
        await self._turn()
        return self._log.states.get(key)

    async def states(self, *, prefix: str = "", after: str = "", limit: int, bodies: bool = True) -> list[StoredState]:
        """Return states; see `ReplicaStore.states`."""
        await self._turn()
        keys = self._log.sorted_keys()
        start = max(bisect_right(keys, after), bisect_left(keys, prefix))
        following = takewhile(lambda key: key.startswith(prefix), islice(keys, start, None))
        found = [self._log.states[key] for key in islice(following, limit)]
        return found if bodies else [msgspec.structs.replace(state, body=b"") for state in found]

    async def save_states(self, states: Sequence[StoredState], *, checkpoint: int | None = None) -> None:
        """Replace states; see `ReplicaStore.save_states`."""
        await self._turn()
        self._log.save({state.key: state for state in states}, checkpoint or 0)

    async def forget_operations(self, *, through: int) -> None:
        """Forget operations; see `ReplicaStore.forget_operations`."""
        await self._turn()
        check_forgettable(through, self.checkpoint)
        self._log.forget_operations(through)

    async def install_snapshot(self, vector: VersionVector) -> None:
        """Hold everything up to a vector; see `ReplicaStore.install_snapshot`."""
        await self._turn()
        self._log.install(vector)

    async def remember(self, name: str, fact: bytes | None) -> None:
        """Keep or forget a fact; see `ReplicaStore.remember`."""
        await self._turn()
        self._log.facts.pop(name, None)
        if fact is not None:
            self._log.facts[name] = fact

    async def remembered(self) -> dict[str, bytes]:
        """Return all facts; see `ReplicaStore.remembered`."""
        await self._turn()
        return dict(self._log.facts)

    async def read_stream(self, stream_id: str, *, after: int, limit: int, kind: StreamKind | None = None) -> Page:
        """Return records of one stream; see `EventStore.read_stream`."""
        await self._turn()
        return self._page_of(stream_id, after, limit, kind)

    def _page_of(self, stream_id: str, after: int, limit: int, kind: StreamKind | None) -> Page:
        head = len(self._records)
        records = self._of_kind(stream_id, kind)[after : after + limit]
        return Page(RecordRun(records), records[-1].position if len(records) == limit else head, head)

    async def read_all(self, selection: Selection, *, after: int, limit: int) -> Page:
        """Return records of all streams; see `EventStore.read_all`."""
        await self._turn()
        head = len(self._records)
        records = selection.among(self._records[after : after + SCAN_POSITIONS_MAX])[:limit]
        through = records[-1].position if len(records) == limit else max(after, min(head, after + SCAN_POSITIONS_MAX))
        return Page(RecordRun(records), through, head)

    async def stream(self, stream_id: str, *, kind: StreamKind | None = None) -> StreamSummary | None:
        """Return one stream's summary; see `EventStore.stream`."""
        await self._turn()
        return next((found for found in self._summaries(stream_id) if kind in (None, found.kind)), None)

    async def streams(self, *, prefix: str, after: str, limit: int) -> list[StreamSummary]:
        """Return summaries of streams; see `EventStore.streams`."""
        await self._turn()
        stream_ids = sorted(self._streams)
        following = stream_ids[bisect_right(stream_ids, after) :]
        found = [stream_id for stream_id in following if stream_id.startswith(prefix)][:limit]
        return list(chain.from_iterable(map(self._summaries, found)))

    async def save_snapshot(self, snapshot: StoredSnapshot) -> None:
        """Keep a snapshot; see `EventStore.save_snapshot`."""
        await self._turn()
        self._snapshots[snapshot.snapshot_id][snapshot.sequence_number] = snapshot

    async def load_snapshot(self, snapshot_id: str, *, through: int) -> StoredSnapshot | None:
        """Return the newest snapshot; see `EventStore.load_snapshot`."""
        await self._turn()
        return self._newest_snapshot(snapshot_id, through)

    async def read_since_snapshot(
        self, stream_id: str, *, through: int, limit: int
    ) -> tuple[StoredSnapshot | None, Page]:
        """Return the newest snapshot and what follows it; see `EventStore.read_since_snapshot`."""
        await self._turn()
        snapshot = self._newest_snapshot(stream_id, through)
        return snapshot, self._page_of(stream_id, before_last_seen(snapshot), limit, "plain")

    def _newest_snapshot(self, snapshot_id: str, through: int) -> StoredSnapshot | None:
        snapshots = self._snapshots.get(snapshot_id, {})
        return snapshots.get(max((number for number in snapshots if number <= through), default=-1))

    async def list_snapshots(self, snapshot_id: str) -> list[StoredSnapshot]:
        """Return snapshots without payloads; see `EventStore.list_snapshots`."""
        await self._turn()
        newest_first = sorted(self._snapshots.get(snapshot_id, {}).items(), reverse=True)
        return [msgspec.structs.replace(snapshot, payload=None) for _, snapshot in newest_first]

    async def snapshot_ids(self, *, after: str, limit: int) -> list[str]:
        """Return ids that have snapshots; see `EventStore.snapshot_ids`."""
        await self._turn()
        return nsmallest(limit, [found for found, snapshots in self._snapshots.items() if snapshots and found > after])

    async def delete_snapshots(self, snapshot_id: str, *, keep: int) -> int:
        """Delete older snapshots; see `EventStore.delete_snapshots`."""
        await self._turn()
        snapshots = self._snapshots.get(snapshot_id, {})
        superfluous = sorted(snapshots, reverse=True)[keep:]
        for sequence_number in superfluous:
            del snapshots[sequence_number]
        return len(superfluous)

    async def aclose(self) -> None:
        """Forget everything; closing twice does nothing."""
        self._finish_gathering()
        self._closed = True
        self.tail.close()
        self.log_tail.close()

    def _check_open(self) -> None:
        if self._closed:
            raise JournalClosedError("the journal in memory is closed")

    async def _turn(self) -> None:
        """Give others a turn, as a store that does I/O would; what follows happens without interruption."""
        self._check_open()
        await checkpoint()
        self._finish_gathering()

    def _finish_gathering(self) -> None:
        """Write the operations that were gathered, in one go."""
        if self._gathering is not None:
            gathering, self._gathering = self._gathering, None
            self._log.add(gathering.entries(self.log_id, self.vector[self.log_id]))

    def _check(self, request: AppendRequest) -> None:
        """Check that a request may be written."""
        self._check_kind(request)
        version = len(self._streams.get(request.stream_id, {}).get(request.kind, ()))
        if request.expected_version is not None and request.expected_version != version:
            raise ExpectedVersionError(request.expected_version, version, request.stream_id)

    def _check_kind(self, request: AppendRequest) -> None:
        kinds = self._streams.get(request.stream_id, {})
        if kinds and request.kind not in kinds:
            raise StreamKindError(request.stream_id, request.kind, next(iter(kinds)))

    def _written_before(self, request: AppendRequest) -> list[StoredRecord] | None:
        if request.event_id is None:
            return None
        named = self._named.get((request.stream_id, "plain", request.event_id))
        position = position_of_minted_id(request.event_id, self.journal_id)
        if named is None and position is not None and position <= len(self._records):
            record = self._records[position - 1]
            minted = (record.stream_id, record.kind, record.attributes.event_id)
            return [record] if minted == (request.stream_id, "plain", None) else None
        return named

    def _keep_change(self, change: Versioned) -> list[StoredRecord]:
        return self._keep(change.stream_id, "replicated", new_events(change), change.timestamp, change.event_id)

    def _keep(
        self, stream_id: str, kind: StreamKind, events: Sequence[NewEvent], timestamp: int, event_id: str | None
    ) -> list[StoredRecord]:
        stream = self._streams.setdefault(stream_id, {}).setdefault(kind, [])
        head, version = len(self._records), len(stream)
        records = [
            StoredRecord(
                head + index, stream_id, version + index, event.type, timestamp, event.payload, event.attributes
            )
            for index, event in enumerate(events, 1)
        ]
        self._records += records
        stream += records
        if event_id is not None:
            self._named.setdefault((stream_id, kind, event_id), records)
        return records

    def _of_kind(self, stream_id: str, kind: StreamKind | None) -> list[StoredRecord]:
        kinds = self._streams.get(stream_id, {})
        return kinds.get(kind, []) if kind is not None else kinds.get("plain") or kinds.get("replicated", [])

    def _summaries(self, stream_id: str) -> list[StreamSummary]:
        kinds = sorted(self._streams.get(stream_id, {}).items())
        return [StreamSummary(stream_id, kind, len(records)) for kind, records in kinds]


class _Gathering:
    """The operations of those who call at once.

    Attributes:
        requests: the changes of each, encoded.
        log_id: the log that they were written to.
        numbers: the number of the last entry of each.
    """

    def __init__(self) -> None:
        self.requests: list[list[bytes]] = []
        self.log_id = ""
        self.numbers: list[int] = []

    def entries(self, log_id: str, number: int) -> list[LogEntry]:
        gathering = EntryGathering(log_id, number)
        self.log_id = log_id
        self.numbers = [gathering.add("operations", changes) for changes in self.requests]
        return gathering.entries()
