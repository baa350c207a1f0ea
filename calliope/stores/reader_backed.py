"""`ReaderBacked`: the reading half of a store whose readers work in threads, each on a connection of its own."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from calliope.stores.protocol import Page, StoredSnapshot, StreamKind, StreamSummary
from calliope.stores.record import Selection

T = TypeVar("T")


class Reader(Protocol):
    """Reads from one connection; each method is what `EventStore` has a method for."""

    def stream_page(self, stream_id: str, after: int, limit: int, kind: StreamKind | None = None) -> Page:
        """Return records of one stream."""
        ...

    def all_page(self, selection: Selection, after: int, limit: int) -> Page:
        """Return records of all streams."""
        ...

    def stream(self, stream_id: str, kind: StreamKind | None = None) -> StreamSummary | None:
        """Return one stream's summary."""
        ...

    def streams(self, prefix: str, after: str, limit: int) -> list[StreamSummary]:
        """Return summaries of streams."""
        ...

    def snapshot(self, snapshot_id: str, through: int) -> StoredSnapshot | None:
        """Return the newest snapshot."""
        ...

    def since_snapshot(self, stream_id: str, through: int, limit: int) -> tuple[StoredSnapshot | None, Page]:
        """Return the newest snapshot and what follows it."""
        ...

    def snapshots(self, snapshot_id: str) -> list[StoredSnapshot]:
        """Return snapshots without payloads."""
        ...

    def snapshot_ids(self, after: str, limit: int) -> list[str]:
        """Return ids that have snapshots."""
        ...


R = TypeVar("R", bound=Reader)


class ReaderBacked(Generic[R]):
    """Reads by whatever reader `_read` lends."""

    async def _read(self, read: Callable[[R], T]) -> T:
        raise NotImplementedError

    async def read_stream(self, stream_id: str, *, after: int, limit: int, kind: StreamKind | None = None) -> Page:
        """Return records of one stream; see `EventStore.read_stream`."""
        return await self._read(lambda reader: reader.stream_page(stream_id, after, limit, kind))

    async def read_all(self, selection: Selection, *, after: int, limit: int) -> Page:
        """Return records of all streams; see `EventStore.read_all`."""
        return await self._read(lambda reader: reader.all_page(selection, after, limit))

    async def stream(self, stream_id: str, *, kind: StreamKind | None = None) -> StreamSummary | None:
        """Return one stream's summary; see `EventStore.stream`."""
        return await self._read(lambda reader: reader.stream(stream_id, kind))

    async def streams(self, *, prefix: str, after: str, limit: int) -> list[StreamSummary]:
        """Return summaries of streams; see `EventStore.streams`."""
        return await self._read(lambda reader: reader.streams(prefix, after, limit))

    async def load_snapshot(self, snapshot_id: str, *, through: int) -> StoredSnapshot | None:
        """Return the newest snapshot; see `EventStore.load_snapshot`."""
        return await self._read(lambda reader: reader.snapshot(snapshot_id, through))

    async def read_since_snapshot(
        self, stream_id: str, *, through: int, limit: int
    ) -> tuple[StoredSnapshot | None, Page]:
        """Return the newest snapshot and what follows it; see `EventStore.read_since_snapshot`."""
        return await self._read(lambda reader: reader.since_snapshot(stream_id, through, limit))

    async def list_snapshots(self, snapshot_id: str) -> list[StoredSnapshot]:
        """Return snapshots without payloads; see `EventStore.list_snapshots`."""
        return await self._read(lambda reader: reader.snapshots(snapshot_id))

    async def snapshot_ids(self, *, after: str, limit: int) -> list[str]:
        """Return ids that have snapshots; see `EventStore.snapshot_ids`."""
        return await self._read(lambda reader: reader.snapshot_ids(after, limit))
