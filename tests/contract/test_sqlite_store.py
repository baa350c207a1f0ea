from pathlib import Path

from calliope.stores.sqlite import SqliteStore
from calliope.testing import DurableEventStoreContract


class TestSqliteStore(DurableEventStoreContract):
    async def open_store(self, folder: Path) -> SqliteStore:
        return await SqliteStore.open(folder / "journal.db")


class TestRelaxedSqliteStore(DurableEventStoreContract):
    async def open_store(self, folder: Path) -> SqliteStore:
        return await SqliteStore.open(folder / "journal.db", durability="relaxed")
