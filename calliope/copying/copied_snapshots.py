"""Copying snapshots: those of streams always, others where the positions that they may hold mean the same."""

from collections.abc import Callable
from functools import partial

import msgspec

from calliope.copying.errors import CopyDiffersError
from calliope.copying.place import NOTE_ID
from calliope.stores.protocol import EventStore, StoredSnapshot
from calliope.submitting import submitted_in_order

IDS_AT_ONCE = 256
"""The snapshots of so many ids are saved together."""

BATCH_BYTES = 16 * 1024 * 1024
"""They are saved earlier if their states exceed this."""


class SnapshotCopier:
    """Copies the snapshots of one journal that another lacks.

    Args:
        source: where they are.
        target: where to.
        of_streams_only: leave out those that are of no plain stream.
        verify: read back what was saved.

    Attributes:
        copied: how many were copied.
        left_out: how many were not: damaged ones, and those that may hold positions where they mean something else.
    """

    def __init__(self, source: EventStore, target: EventStore, *, of_streams_only: bool, verify: bool) -> None:
        self.copied = 0
        self.left_out = 0
        self._source = source
        self._target = target
        self._of_streams_only = of_streams_only
        self._verify = verify
        self._batch: list[StoredSnapshot] = []
        self._byte_count = 0

    async def run(self, on_progress: Callable[[int], None]) -> None:
        """Copy all; tell after each batch how many were copied."""
        after = ""
        while snapshot_ids := await self._source.snapshot_ids(after=after, limit=IDS_AT_ONCE):
            after = snapshot_ids[-1]
            for snapshot_id in snapshot_ids:
                for listed in await self._wanted(snapshot_id):
                    await self._take(listed)
            await self._save()
            on_progress(self.copied)

    async def _take(self, listed: StoredSnapshot) -> None:
        number = listed.sequence_number
        snapshot = await self._source.load_snapshot(listed.snapshot_id, through=number)
        if snapshot is None or snapshot.sequence_number != number:
            return  # it was deleted meanwhile
        if snapshot.payload is None:
            self.left_out += 1
            return
        self._batch.append(snapshot)
        self._byte_count += len(snapshot.payload)
        if self._byte_count >= BATCH_BYTES:
            await self._save()

    async def _wanted(self, snapshot_id: str) -> list[StoredSnapshot]:
        """Return the snapshots of an id, without their states, that the target lacks and may have."""
        if snapshot_id == NOTE_ID:
            return []
        listed = await self._source.list_snapshots(snapshot_id)
        if self._of_streams_only and await self._source.stream(snapshot_id, kind="plain") is None:
            self.left_out += len(listed)
            return []
        held = await self._target.list_snapshots(snapshot_id)
        return [snapshot for snapshot in listed if snapshot not in held]

    async def _save(self) -> None:
        batch, self._batch, self._byte_count = self._batch, [], 0
        await submitted_in_order([partial(self._target.save_snapshot, snapshot) for snapshot in batch])
        self.copied += len(batch)
        if self._verify:
            for snapshot in batch:
                await self._check(snapshot)

    async def _check(self, snapshot: StoredSnapshot) -> None:
        found = await self._target.load_snapshot(snapshot.snapshot_id, through=snapshot.sequence_number)
        if found != snapshot:
            without = found and msgspec.structs.replace(found, payload=None)
            raise CopyDiffersError([f"snapshot {snapshot.snapshot_id!r} at {snapshot.sequence_number:,} is {without}"])
