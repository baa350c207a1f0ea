from pathlib import Path

from calliope.stores.sqlite import SqliteStore
from calliope.testing import DurableEventStoreContract, DurableReplicaStoreContract


class TestSqliteStore(DurableEventStoreContract, DurableReplicaStoreContract):
    async def open_store(self, folder: Path) -> SqliteStore:
        return await SqliteStore.open(folder / "journal.db")


class TestRelaxedSqliteStore(DurableEventStoreContract):
    async def open_store(self, folder: Path) -> SqliteStore:
        return await SqliteStore.open(folder / "journal.db", durability="relaxed")
