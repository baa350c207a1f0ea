"""The contract of event stores, as test classes to inherit."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from calliope.stores.protocol import EventStore
from calliope.stores.replica_store import ReplicaStore
from calliope.testing.append_contract import AppendContract
from calliope.testing.durable_contract import DurableContract
from calliope.testing.live_contract import LiveContract
from calliope.testing.read_contract import ReadContract
from calliope.testing.replica_contract import DurableReplicaContract, ReplicaContract
from calliope.testing.snapshot_contract import SnapshotContract


class EventStoreContract(AppendContract, ReadContract, LiveContract, SnapshotContract):
    """Tests everything that `EventStore` promises. Subclass it, say how a store is opened, and run pytest.

        class TestMyStore(EventStoreContract):
            async def open_store(self, folder):
                return await MyStore.open(folder / "journal")

    The tests run on the event loops that the fixture `anyio_backend` names; anyio's pytest plugin, which comes with
    anyio, runs them.
    """

    pytestmark = pytest.mark.anyio

    async def open_store(self, folder: Path) -> EventStore:
        """Open a store that keeps its files, if it has any, in a folder; each test has an empty folder of its own."""
        raise NotImplementedError

    @pytest.fixture
    async def store(self, tmp_path: Path, anyio_backend: object) -> AsyncIterator[EventStore]:
        """An empty store; it is closed after the test."""
        store = await self.open_store(tmp_path)
        yield store
        await store.aclose()


class DurableEventStoreContract(DurableContract, EventStoreContract):
    """Tests also what a store promises that outlives its process, and that several processes may open at once.

    `open_store` is called again with the same folder, after closing the first store and beside it.
    """


class ReplicaStoreContract(ReplicaContract):
    """Tests what `ReplicaStore` promises beside `EventStore`; inherit it beside `EventStoreContract`."""

    pytestmark = pytest.mark.anyio

    async def open_store(self, folder: Path) -> ReplicaStore:
        """Open a store; as for `EventStoreContract`."""
        raise NotImplementedError

    @pytest.fixture
    async def replica(self, tmp_path: Path, anyio_backend: object) -> AsyncIterator[ReplicaStore]:
        """An empty store; it is closed after the test."""
        store = await self.open_store(tmp_path)
        yield store
        await store.aclose()


class DurableReplicaStoreContract(DurableReplicaContract, ReplicaStoreContract):
    """Tests also what outlives a process, and that several processes may replicate one journal."""
