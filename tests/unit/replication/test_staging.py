"""Parts of a snapshot that is being taken over are kept apart, and what cannot be made ours is found out in time."""

import pytest

from calliope import CorruptRecordError
from calliope.stores.memory import MemoryStore
from calliope.stores.replica_store import StoredState
from crdts import VersionVector
from replication.core.messages import Cursor, SnapshotChunk
from replication.errors import MalformedStateError
from replication.key_snapshots import check_states
from replication.staging import StagingArea

pytestmark = pytest.mark.anyio


def chunk(key: str) -> SnapshotChunk:
    states = (StoredState(key, "gcounter", b"body"),)
    return SnapshotChunk(Cursor(), VersionVector({"anna~1": 3}), states, (), None, VersionVector({"anna~1": 4}))


async def test_a_part_is_what_was_staged_last_under_its_number():
    area = StagingArea(MemoryStore())
    await area.stage(1, chunk("a"))
    await area.stage(2, chunk("b"))
    await area.stage(2, chunk("c"))
    assert [await area.part(1), await area.part(2)] == [chunk("a"), chunk("c")]


async def test_a_part_that_is_gone_is_not_mistaken_for_another():
    area = StagingArea(MemoryStore())
    await area.stage(1, chunk("a"))
    with pytest.raises(CorruptRecordError, match="part 2 of a snapshot"):
        await area.part(2)
    await area.clear()
    with pytest.raises(CorruptRecordError, match="part 1 of a snapshot"):
        await area.part(1)


async def test_a_state_that_cannot_be_read_is_found_out_before_it_is_staged():
    with pytest.raises(MalformedStateError, match="a"):
        await check_states([StoredState("a", "gcounter", b"no state")])
    with pytest.raises(MalformedStateError):
        await check_states([StoredState("", "gcounter", b"")])
