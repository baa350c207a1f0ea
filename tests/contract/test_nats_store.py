from collections.abc import Iterator
from pathlib import Path

import pytest

from calliope.stores.nats import NatsStore
from calliope.testing import DurableEventStoreContract, DurableReplicaStoreContract
from tests.nats import new_journal, server, url_of_journal


@pytest.fixture(params=["asyncio", pytest.param("trio", marks=pytest.mark.soak)])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both event loops; a server is slow, so one of them is for soaks."""
    return str(request.param)


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    with server() as url:
        yield url


class TestNatsStore(DurableEventStoreContract, DurableReplicaStoreContract):
    @pytest.fixture(autouse=True)
    def _a_journal_for_each_folder(self, nats_url: str):
        self._url = nats_url
        self._journals: dict[Path, str] = {}

    async def open_store(self, folder: Path) -> NatsStore:
        journal = self._journals.setdefault(folder, new_journal())
        return await NatsStore.open(url_of_journal(self._url, journal))
