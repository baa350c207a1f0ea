from pathlib import Path

from calliope.stores.memory import MemoryStore
from calliope.testing import EventStoreContract, ReplicaStoreContract


class TestMemoryStore(EventStoreContract, ReplicaStoreContract):
    async def open_store(self, folder: Path) -> MemoryStore:
        return MemoryStore()
