from pathlib import Path

import pytest

from calliope.stores.postgres import PostgresStore
from calliope.testing import DurableEventStoreContract, DurableReplicaStoreContract
from tests.postgres import new_schema, url_of_schema


@pytest.fixture(params=["asyncio", pytest.param("trio", marks=pytest.mark.soak)])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both event loops; a server is slow, so one of them is for soaks."""
    return str(request.param)


class TestPostgresStore(DurableEventStoreContract, DurableReplicaStoreContract):
    @pytest.fixture(autouse=True)
    def _a_schema_for_each_folder(self, postgres_url: str):
        self._url = postgres_url
        self._schemas: dict[Path, str] = {}

    async def open_store(self, folder: Path) -> PostgresStore:
        schema = self._schemas.setdefault(folder, new_schema())
        return await PostgresStore.open(url_of_schema(self._url, schema))
