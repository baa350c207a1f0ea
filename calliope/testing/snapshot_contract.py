"""What every store promises about snapshots."""
# ruff: noqa: D102 - the name of a test is a sentence

import anyio
import msgspec
import pytest

from calliope.limits import POSITION_MAX
from calliope.stores.protocol import EventStore, StoredSnapshot
from calliope.stores.record import StoredType
from calliope.testing.everything import check_page, everything
from calliope.testing.requests import TIMESTAMP, append_of


class SnapshotContract:
    """Snapshots: the newest is found, the same one is replaced, old ones are deleted."""

    async def test_a_snapshot_reads_back(self, store: EventStore) -> None:
        saved = snapshot_of("a", 3, b"state", type="Order", schema_version=2)
        await store.save_snapshot(saved)
        assert await store.load_snapshot("a", through=POSITION_MAX) == saved
        assert await store.load_snapshot("b", through=POSITION_MAX) is None

    async def test_the_newest_up_to_a_number_is_found_whatever_the_order_of_saving(self, store: EventStore) -> None:
        for number in (5, 0, 9, 2, POSITION_MAX):
            await store.save_snapshot(snapshot_of("a", number))
        await store.save_snapshot(snapshot_of("b", 7))
        for through, expected in ((POSITION_MAX, POSITION_MAX), (POSITION_MAX - 1, 9), (9, 9), (8, 5), (4, 2), (0, 0)):
            found = await store.load_snapshot("a", through=through)
            assert found == snapshot_of("a", expected)
        assert await store.load_snapshot("a", through=-1) is None

    async def test_a_snapshot_of_the_same_number_is_replaced(self, store: EventStore) -> None:
        await store.save_snapshot(snapshot_of("a", 3, b"old", type="Old"))
        await store.save_snapshot(snapshot_of("a", 3, b"new", type="New"))
        assert await store.load_snapshot("a", through=3) == snapshot_of("a", 3, b"new", type="New")
        assert len(await store.list_snapshots("a")) == 1

    async def test_snapshots_are_listed_without_their_states_the_newest_first(self, store: EventStore) -> None:
        for number in (1, 3, 2):
            await store.save_snapshot(snapshot_of("a", number))
        await store.save_snapshot(snapshot_of("b", 9))
        listed = await store.list_snapshots("a")
        assert listed == [msgspec.structs.replace(snapshot_of("a", n), payload=None) for n in (3, 2, 1)]
        assert await store.list_snapshots("c") == []

    @pytest.mark.parametrize(
        ("keep", "kept"), [(0, []), (1, [4]), (3, [4, 3, 2]), (4, [4, 3, 2, 1]), (9, [4, 3, 2, 1])]
    )
    async def test_all_but_the_newest_are_deleted(self, store: EventStore, keep: int, kept: list[int]) -> None:
        for number in (1, 2, 3, 4):
            await store.save_snapshot(snapshot_of("a", number))
        await store.save_snapshot(snapshot_of("b", 1))
        assert await store.delete_snapshots("a", keep=keep) == 4 - len(kept)
        assert [snapshot.sequence_number for snapshot in await store.list_snapshots("a")] == kept
        assert len(await store.list_snapshots("b")) == 1
        assert await store.delete_snapshots("none", keep=0) == 0

    async def test_ids_that_have_snapshots_are_listed_by_code_point(self, store: EventStore) -> None:
        await store.append(append_of("no snapshot"))
        for snapshot_id in ("b", "\U0001f600", "a", "\uffee", "B", "gone"):
            for number in (1, 2):
                await store.save_snapshot(snapshot_of(snapshot_id, number))
        await store.delete_snapshots("gone", keep=0)
        ids = ["B", "a", "b", "\uffee", "\U0001f600"]
        assert await store.snapshot_ids(after="", limit=9) == ids
        assert await store.snapshot_ids(after="", limit=2) == ids[:2]
        assert await store.snapshot_ids(after="aa", limit=2) == ids[2:4]
        assert await store.snapshot_ids(after=ids[-1], limit=2) == []

    async def test_large_and_empty_states_read_back(self, store: EventStore) -> None:
        for number, payload in enumerate((b"", bytes(range(256)) * 40_000)):
            await store.save_snapshot(snapshot_of("a", number, payload))
            found = await store.load_snapshot("a", through=POSITION_MAX)
            assert found is not None
            assert found.payload == payload

    async def test_a_snapshot_is_read_together_with_what_follows_it(self, store: EventStore) -> None:
        records = await store.append(append_of("a", b"1", b"2", b"3", b"4", b"5"))
        await store.append(append_of("b", b"1"))
        for stream_id, stored in (("none", []), ("a", records)):
            snapshot, page = await store.read_since_snapshot(stream_id, through=POSITION_MAX, limit=9)
            assert (snapshot, page.records, page.complete) == (None, stored, True)
        for number in (0, 1, 3, 5, 8):
            await store.save_snapshot(snapshot_of("a", number))
        for through, number, after in ((POSITION_MAX, 8, 7), (7, 5, 4), (4, 3, 2), (2, 1, 0), (0, 0, 0)):
            for limit in (1, 2, 9):
                snapshot, page = await store.read_since_snapshot("a", through=through, limit=limit)
                assert snapshot == snapshot_of("a", number)
                assert page.records == records[after : after + limit]
                check_page(page, limit)
                assert page.complete or after + limit <= len(records)
                assert not page.complete or after + limit >= len(records)

    async def test_snapshots_are_no_events(self, store: EventStore) -> None:
        records = await store.append(append_of("a"))
        await store.save_snapshot(snapshot_of("a", 1))
        await store.save_snapshot(snapshot_of("b", 1))
        assert await everything(store) == records
        assert await store.stream("b") is None
        assert (await store.append(append_of("a")))[0].position > records[0].position

    async def test_snapshots_are_saved_while_others_append(self, store: EventStore) -> None:
        async with anyio.create_task_group() as group:
            for n in range(20):
                group.start_soon(store.append, append_of("a", b"%d" % n))
                group.start_soon(store.save_snapshot, snapshot_of("a", n))
        assert len(await everything(store)) == 20
        assert len(await store.list_snapshots("a")) == 20


def snapshot_of(
    snapshot_id: str,
    sequence_number: int,
    payload: bytes = b"state",
    *,
    type: str = "State",  # noqa: A002 - the field's name
    schema_version: int = 1,
) -> StoredSnapshot:
    """Return a snapshot to save."""
    return StoredSnapshot(snapshot_id, sequence_number, StoredType(type, schema_version), TIMESTAMP, payload)
