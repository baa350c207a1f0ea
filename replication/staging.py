"""`StagingArea`: the parts of a snapshot that is being taken over, kept apart until all of it is here.

They are kept as a store keeps snapshots of streams: durably, with a checksum, under one id that is ours.
"""

from calliope.errors import CorruptRecordError
from calliope.stores.protocol import StoredSnapshot
from calliope.stores.record import StoredType
from calliope.stores.replica_store import ReplicaStore
from replication import wire
from replication.core.messages import SnapshotChunk

STAGED_ID = "calliope~staged"
"""The snapshot id of all parts; their sequence numbers are those of the parts."""

PART_TYPE = StoredType("SnapshotChunk", 1)
"""The type name and version under which parts are stored: messages, as they came."""


class StagingArea:
    """Keeps parts.

    Args:
        store: the journal's store.
    """

    def __init__(self, store: ReplicaStore) -> None:
        self._store = store

    async def stage(self, number: int, chunk: SnapshotChunk) -> None:
        """Keep a part durably; an earlier one of this number is replaced.

        Raises:
            StorageFullError, StorageError: it was not kept.
        """
        await self._store.save_snapshot(StoredSnapshot(STAGED_ID, number, PART_TYPE, 0, wire.encode(chunk)))

    async def part(self, number: int) -> SnapshotChunk:
        """Return a part.

        Raises:
            CorruptRecordError: it is damaged, or gone.
        """
        found = await self._store.load_snapshot(STAGED_ID, through=number)
        if found is None or found.sequence_number != number or found.payload is None:
            raise CorruptRecordError(None, f"part {number} of a snapshot that is being taken over is damaged or gone")
        chunk = wire.decode(found.payload)
        assert isinstance(chunk, SnapshotChunk)
        return chunk

    async def clear(self) -> None:
        """Delete all parts."""
        await self._store.delete_snapshots(STAGED_ID, keep=0)
