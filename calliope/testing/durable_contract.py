"""What a store promises that keeps its journal beyond the process, and lets several open it at once."""
# ruff: noqa: D102 - the name of a test is a sentence

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from calliope.errors import ExpectedVersionError, StreamKindError
from calliope.limits import POSITION_MAX
from calliope.stores.protocol import EventStore
from calliope.stores.record import Selection, StoredRecord, minted_id
from calliope.testing.everything import everything
from calliope.testing.live_contract import PATIENCE_SECONDS, follow_to
from calliope.testing.requests import append_of
from calliope.testing.snapshot_contract import snapshot_of

OpenStore = Callable[[Path], Awaitable[EventStore]]


class DurableContract:
    """Opening again: everything is there and goes on; and several open stores of one journal."""

    async def open_store(self, folder: Path) -> EventStore:
        raise NotImplementedError

    async def test_everything_is_there_after_opening_again(self, tmp_path: Path, anyio_backend: object) -> None:
        async with _opened(self.open_store, tmp_path) as store:
            journal_id = store.journal_id
            await store.append(append_of("a", b"1", b"2", tags=("red",), metadata={"k": [1]}, event_id="id"))
            await store.append(append_of("b", b"3", type="other", schema_version=7))
            await store.save_snapshot(snapshot_of("a", 2))
            log = await everything(store)
            summaries = await store.streams(prefix="", after="", limit=10)
        async with _opened(self.open_store, tmp_path) as store:
            assert store.journal_id == journal_id
            assert store.tail.position == log[-1].position
            assert await everything(store) == log
            assert await everything(store, Selection(tags=frozenset({"red"}))) == log[:2]
            assert await store.streams(prefix="", after="", limit=10) == summaries
            assert await store.load_snapshot("a", through=POSITION_MAX) == snapshot_of("a", 2)

    async def test_numbers_kinds_and_ids_go_on_after_opening_again(self, tmp_path: Path, anyio_backend: object) -> None:
        async with _opened(self.open_store, tmp_path) as store:
            first = await store.append(append_of("a", b"1", b"2", event_id="id"))
            minted = await store.append(append_of("a", b"3"))
        async with _opened(self.open_store, tmp_path) as store:
            assert await store.append(append_of("a", b"other", event_id="id")) == first
            same = append_of("a", b"other", event_id=minted_id(store.journal_id, minted[0].position))
            assert await store.append(same) == minted
            with pytest.raises(StreamKindError):
                await store.append(append_of("a", kind="replicated"))
            with pytest.raises(ExpectedVersionError) as raised:
                await store.append(append_of("a", expected_version=0))
            assert raised.value.actual == 3
            (fourth,) = await store.append(append_of("a", expected_version=3))
            assert fourth.sequence_number == 4
            assert fourth.position > minted[0].position

    @pytest.mark.parametrize(("count", "size"), [(2_500, 10), (600, 10_000), (12, 500_000)])
    async def test_the_first_reply_is_complete_after_opening_again(
        self, tmp_path: Path, anyio_backend: object, count: int, size: int
    ) -> None:
        request = append_of("a", *[bytes(size)] * count, event_id="id")
        async with _opened(self.open_store, tmp_path) as store:
            first = await store.append(request)
        async with _opened(self.open_store, tmp_path) as store:
            assert await store.append(request) == first

    async def test_closing_keeps_what_was_acknowledged_and_halves_nothing(
        self, tmp_path: Path, anyio_backend: object
    ) -> None:
        acknowledged: list[StoredRecord] = []

        async def append(store: EventStore, n: int) -> None:
            acknowledged.extend(await store.append(append_of(f"s-{n}", b"1", b"2")))

        store = await self.open_store(tmp_path)
        async with anyio.create_task_group() as group:
            for n in range(20):
                group.start_soon(append, store, n)
            await checkpoint()
            await checkpoint()
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await store.aclose()
        async with _opened(self.open_store, tmp_path) as store:
            log = await everything(store)
            assert {record.position for record in acknowledged} <= {record.position for record in log}
            assert len(log) == 2 * len(await store.streams(prefix="", after="", limit=100))

    async def test_a_new_place_is_a_new_journal(self, tmp_path: Path, anyio_backend: object) -> None:
        folders = [tmp_path / "one", tmp_path / "two"]
        ids = set()
        for folder in folders:
            folder.mkdir()
            async with _opened(self.open_store, folder) as store:
                ids.add(store.journal_id)
        assert len(ids) == 2

    async def test_two_that_are_open_at_once_number_their_events_together(
        self, tmp_path: Path, anyio_backend: object
    ) -> None:
        written: list[StoredRecord] = []
        async with _opened(self.open_store, tmp_path) as one, _opened(self.open_store, tmp_path) as two:
            stores = [one, two]
            assert one.journal_id == two.journal_id
            for n in range(30):
                records = await stores[n % 2].append(append_of(f"s-{n % 3}", b"%d" % n, type=f"type-{n % 5}"))
                written += records
                assert await stores[1 - n % 2].append(append_of(f"s-{n % 3}", event_id=_id(records[0], one))) == records
            assert await everything(one) == await everything(two) == written
            with pytest.raises(ExpectedVersionError):
                await one.append(append_of("s-0", expected_version=0))
            for stream_id in ("s-0", "s-1", "s-2"):
                numbers = [record.sequence_number for record in written if record.stream_id == stream_id]
                assert numbers == list(range(1, 11))

    async def test_two_that_write_at_the_same_time_write_once_and_in_order(
        self, tmp_path: Path, anyio_backend: object
    ) -> None:
        replies: list[list[StoredRecord]] = []

        async def append(store: EventStore, n: int) -> None:
            replies.append(await store.append(append_of(f"s-{n % 4}", b"%d" % n, b"2", event_id=f"id-{n}")))

        async with _opened(self.open_store, tmp_path) as one, _opened(self.open_store, tmp_path) as two:
            async with anyio.create_task_group() as group:
                for n in range(60):
                    group.start_soon(append, one, n)
                    group.start_soon(append, two, n)
            log = await everything(one)
            assert log == await everything(two)
        assert len(log) == 120
        assert sorted(replies, key=lambda r: r[0].position)[::2] == [
            log[index : index + 2] for index in range(0, 120, 2)
        ]

    @pytest.mark.parametrize(
        ("count", "size"), [(1, 10), (3, 10), (3_000, 1), (600, 10_000)], ids=["one", "few", "many", "large"]
    )
    async def test_live_readers_see_what_another_open_store_writes(
        self, tmp_path: Path, anyio_backend: object, count: int, size: int
    ) -> None:
        seen: list[StoredRecord] = []
        of_a_stream: list[StoredRecord] = []
        async with _opened(self.open_store, tmp_path) as one, _opened(self.open_store, tmp_path) as two:
            with anyio.fail_after(PATIENCE_SECONDS):
                async with anyio.create_task_group() as group:
                    group.start_soon(follow_to, one, Selection(), b"last", seen)
                    group.start_soon(follow_to, one, Selection(stream_id="a"), b"last", of_a_stream)
                    for n in range(12):
                        store = two if n % 4 else one
                        await store.append(append_of("ab"[n % 2], *[bytes(size)] * count))
                    await two.append(append_of("a", b"last"))
            log = await everything(two)
        assert seen == log
        assert of_a_stream == [record for record in log if record.stream_id == "a"]


def _id(record: StoredRecord, store: EventStore) -> str:
    return record.attributes.event_id or minted_id(store.journal_id, record.position)


@asynccontextmanager
async def _opened(open_store: OpenStore, folder: Path) -> AsyncIterator[EventStore]:
    store = await open_store(folder)
    try:
        yield store
    finally:
        with anyio.CancelScope(shield=True):
            await store.aclose()
