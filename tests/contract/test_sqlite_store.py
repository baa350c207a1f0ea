from pathlib import Path

import pytest

from calliope.stores.sqlite import SqliteStore
from calliope.testing import DurableEventStoreContract, DurableReplicaStoreContract


class TestSqliteStore(DurableEventStoreContract, DurableReplicaStoreContract):
    async def open_store(self, folder: Path) -> SqliteStore:
        return await SqliteStore.open(folder / "journal.db")


class TestRelaxedSqliteStore(DurableEventStoreContract):
    @pytest.fixture(params=["asyncio", pytest.param("trio", marks=pytest.mark.soak)])
    def anyio_backend(self, request: pytest.FixtureRequest) -> str:
        """Both event loops; the store differs in a setting only, so one of them is for soaks."""
        return str(request.param)

    async def open_store(self, folder: Path) -> SqliteStore:
        return await SqliteStore.open(folder / "journal.db", durability="relaxed")
