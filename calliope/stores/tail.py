"""The newest records in memory, and the wake-up of live readers.

A live reader that has read everything through some position asks the tail for what came after. If the tail reaches
back that far, the answer is in memory and costs no I/O; if not, the reader goes back to reading pages. So ten thousand
live readers cost ten thousand small objects, and a commit wakes only those whose stream it touched.

The tail does not know who reads: a reader waits on an event that the next publication for its stream sets.

Invariant: `batches` hold every record with a position in (start, position], in order.
"""

from collections import deque
from collections.abc import Iterable, Sequence

import anyio

from calliope.errors import JournalClosedError
from calliope.stores.record import Selection, StoredRecord

TAIL_RECORDS_MAX = 16_384
"""How many records the tail keeps at most; a slower reader reads pages. As many as callers may share one commit: else
ten thousand live readers of as many streams would read as many pages after it."""

TAIL_BYTES_MAX = 16 * 1024 * 1024
"""How many payload bytes the tail keeps at most."""


class Tail:
    """The newest records of a journal.

    Use it from the event loop that opened the journal only.

    Attributes:
        position: the journal's highest position that readers may know of.
    """

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self._start = position
        self._batches: deque[_Batch] = deque()
        self._record_count = 0
        self._byte_count = 0
        self._wakeups: dict[str | None, _Wakeup] = {}
        self._closed = False

    @property
    def awaited(self) -> bool:
        """Whether anybody waits for records."""
        return bool(self._wakeups)

    def covers(self, position: int) -> bool:
        """Tell whether everything after a position is here."""
        return position >= self._start

    def after(self, position: int, selection: Selection) -> list[StoredRecord]:
        """Return the matching records after a position that the tail covers, in order."""
        found: list[StoredRecord] = []
        for batch in reversed(self._batches):
            if batch.last_position <= position:
                break
            found[:0] = batch.after(position, selection)
        return found

    def publish(self, records: Sequence[StoredRecord]) -> None:
        """Add the records that directly follow `position`, and wake those who wait for them."""
        if not records:
            return
        batch = _Batch(records)
        self._batches.append(batch)
        self._record_count += len(batch.records)
        self._byte_count += batch.byte_count
        self.position = batch.last_position
        self._forget_oldest()
        if self._wakeups:
            self._wake((None,) if self._wakeups.keys() == {None} else (None, *batch.by_stream))

    def reset(self, position: int) -> None:
        """Skip to a position whose predecessors are not at hand; all readers look for themselves."""
        self._batches.clear()
        self._record_count = self._byte_count = 0
        self._start = self.position = position
        self._wake(list(self._wakeups))

    def close(self) -> None:
        """End the waiting of all readers; nothing will be published any more."""
        self._closed = True
        self._wake(list(self._wakeups))

    async def wait(self, stream_id: str | None) -> None:
        """Wait for the next publication that touches a stream (None: any stream).

        Between reading and this call nothing may be awaited, else a publication could pass unnoticed. Cancellation
        leaves nothing behind.

        Raises:
            JournalClosedError: the journal is closed, and nothing will come.
        """
        if self._closed:
            raise JournalClosedError("the journal was closed while a live reader waited")
        wakeup = self._wakeups.get(stream_id) or self._wakeups.setdefault(stream_id, _Wakeup())
        wakeup.waiting += 1
        try:
            await wakeup.event.wait()
        finally:
            wakeup.waiting -= 1
            if not wakeup.waiting and self._wakeups.get(stream_id) is wakeup:
                del self._wakeups[stream_id]

    def _wake(self, stream_ids: Iterable[str | None]) -> None:
        for stream_id in stream_ids:
            wakeup = self._wakeups.pop(stream_id, None)
            if wakeup is not None:
                wakeup.event.set()

    def _forget_oldest(self) -> None:
        while self._record_count > TAIL_RECORDS_MAX or self._byte_count > TAIL_BYTES_MAX:
            batch = self._batches.popleft()
            self._start = batch.last_position
            self._record_count -= len(batch.records)
            self._byte_count -= batch.byte_count


class _Wakeup:
    """What those wait for who want a stream's next records; gone with the last of them."""

    __slots__ = ("event", "waiting")

    def __init__(self) -> None:
        self.event = anyio.Event()
        self.waiting = 0


class _Batch:
    """The records of one commit, grouped by stream when first asked for."""

    __slots__ = ("_by_stream", "byte_count", "last_position", "records")

    def __init__(self, records: Sequence[StoredRecord]) -> None:
        self.records = records
        self.last_position = records[-1].position
        self.byte_count = sum([len(record.payload) for record in records])
        self._by_stream: dict[str, list[StoredRecord]] | None = None

    @property
    def by_stream(self) -> dict[str, list[StoredRecord]]:
        if self._by_stream is None:
            self._by_stream = {}
            for record in self.records:
                self._by_stream.setdefault(record.stream_id, []).append(record)
        return self._by_stream

    def after(self, position: int, selection: Selection) -> list[StoredRecord]:
        records = self.records
        if selection.stream_id is not None:
            records = self.by_stream.get(selection.stream_id, ())
        return [record for record in records if record.position > position and selection.matches(record)]
