from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from calliope import Journal


@pytest.fixture(params=["memory", "sqlite"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Journal]:
    """An empty open journal of either store."""
    async with Journal.open("memory://" if request.param == "memory" else tmp_path / "journal.db") as journal:
        yield journal


@pytest.fixture
async def memory_journal(anyio_backend: str) -> AsyncIterator[Journal]:
    """An empty open journal in memory, for what no store can change."""
    async with Journal.open("memory://") as journal:
        yield journal
