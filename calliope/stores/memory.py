"""The memory store: a journal that lasts as long as its process; for tests, and for state that may be lost."""

import os
from bisect import bisect_right
from collections import defaultdict

import msgspec
from anyio.lowlevel import checkpoint

from calliope.errors import ExpectedVersionError, JournalClosedError, StreamKindError
from calliope.stores.protocol import AppendRequest, Page, StoredSnapshot, StreamKind, StreamSummary
from calliope.stores.record import Selection, StoredRecord, position_of_minted_id
from calliope.stores.tail import Tail

SCAN_POSITIONS_MAX = 20_000
"""How far one page looks for records that match a selection; it may come back empty and further on."""


class MemoryStore:
    """Keeps records in lists.

    Attributes:
        journal_id: names this journal among all others.
        tail: the newest records and the wake-up of live readers.
    """

    def __init__(self) -> None:
        self.journal_id = os.urandom(8).hex()
        self.tail = Tail()
        self._log: list[StoredRecord] = []
        self._streams: dict[str, list[StoredRecord]] = {}
        self._kinds: dict[str, StreamKind] = {}
        self._named: dict[tuple[str, str], list[StoredRecord]] = {}
        self._snapshots: defaultdict[str, dict[int, StoredSnapshot]] = defaultdict(dict)
        self._closed = False

    async def append(self, request: AppendRequest) -> list[StoredRecord]:
        """Keep a request's events; see `EventStore.append`."""
        await self._turn()
        earlier = self._written_before(request)
        if earlier is not None:
            return earlier
        version = len(self._streams.get(request.stream_id, ()))
        kind = self._kinds.get(request.stream_id, request.kind)
        if kind != request.kind:
            raise StreamKindError(request.stream_id, request.kind, kind)
        if request.expected_version is not None and request.expected_version != version:
            raise ExpectedVersionError(request.expected_version, version, request.stream_id)
        return self._keep(request, version)

    async def read_stream(self, stream_id: str, *, after: int, limit: int) -> Page:
        """Return records of one stream; see `EventStore.read_stream`."""
        await self._turn()
        head = len(self._log)
        records = self._streams.get(stream_id, [])[after : after + limit]
        return Page(records, records[-1].position if len(records) == limit else head, head)

    async def read_all(self, selection: Selection, *, after: int, limit: int) -> Page:
        """Return records of all streams; see `EventStore.read_all`."""
        await self._turn()
        head = len(self._log)
        records = selection.among(self._log[after : after + SCAN_POSITIONS_MAX])[:limit]
        through = records[-1].position if len(records) == limit else max(after, min(head, after + SCAN_POSITIONS_MAX))
        return Page(records, through, head)

    async def stream(self, stream_id: str) -> StreamSummary | None:
        """Return one stream's summary; see `EventStore.stream`."""
        await self._turn()
        return self._summary(stream_id) if stream_id in self._streams else None

    async def streams(self, *, prefix: str, after: str, limit: int) -> list[StreamSummary]:
        """Return summaries of streams; see `EventStore.streams`."""
        await self._turn()
        stream_ids = sorted(self._streams)
        following = stream_ids[bisect_right(stream_ids, after) :]
        return [self._summary(stream_id) for stream_id in following if stream_id.startswith(prefix)][:limit]

    async def save_snapshot(self, snapshot: StoredSnapshot) -> None:
        """Keep a snapshot; see `EventStore.save_snapshot`."""
        await self._turn()
        self._snapshots[snapshot.snapshot_id][snapshot.sequence_number] = snapshot

    async def load_snapshot(self, snapshot_id: str, *, through: int) -> StoredSnapshot | None:
        """Return the newest snapshot; see `EventStore.load_snapshot`."""
        await self._turn()
        snapshots = self._snapshots.get(snapshot_id, {})
        return snapshots.get(max((number for number in snapshots if number <= through), default=-1))

    async def list_snapshots(self, snapshot_id: str) -> list[StoredSnapshot]:
        """Return snapshots without payloads; see `EventStore.list_snapshots`."""
        await self._turn()
        newest_first = sorted(self._snapshots.get(snapshot_id, {}).items(), reverse=True)
        return [msgspec.structs.replace(snapshot, payload=None) for _, snapshot in newest_first]

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
        self._closed = True
        self.tail.close()

    async def _turn(self) -> None:
        """Give others a turn, as a store that does I/O would; what follows happens without interruption."""
        if self._closed:
            raise JournalClosedError("the journal in memory is closed")
        await checkpoint()

    def _written_before(self, request: AppendRequest) -> list[StoredRecord] | None:
        if request.event_id is None:
            return None
        named = self._named.get((request.stream_id, request.event_id))
        position = position_of_minted_id(request.event_id, self.journal_id)
        if named is None and position is not None and position <= len(self._log):
            record = self._log[position - 1]
            return [record] if record.stream_id == request.stream_id and record.attributes.event_id is None else None
        return named

    def _keep(self, request: AppendRequest, version: int) -> list[StoredRecord]:
        head = len(self._log)
        records = [
            StoredRecord(
                head + index,
                request.stream_id,
                version + index,
                event.type,
                request.timestamp,
                event.payload,
                event.attributes,
            )
            for index, event in enumerate(request.events, 1)
        ]
        self._log += records
        self._streams.setdefault(request.stream_id, []).extend(records)
        self._kinds.setdefault(request.stream_id, request.kind)
        if request.event_id is not None:
            self._named[request.stream_id, request.event_id] = records
        self.tail.publish(records)
        return records

    def _summary(self, stream_id: str) -> StreamSummary:
        return StreamSummary(stream_id, self._kinds[stream_id], len(self._streams[stream_id]))
