from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import anyio
import pytest

from calliope import Journal
from tests.unit.calliope.damaged_journals import make_closed, make_crashed

TIME_MICROSECONDS = 1_700_000_000_000_000


@pytest.fixture(params=["memory", "sqlite"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Journal]:
    """An empty open journal of either store, whose clock moves on by a microsecond whenever it is looked at."""
    url = "memory://" if request.param == "memory" else tmp_path / "journal.db"
    ticks = count(TIME_MICROSECONDS)
    async with Journal.open(url, clock=lambda: next(ticks)) as journal:
        yield journal


@pytest.fixture
async def memory_journal(anyio_backend: str) -> AsyncIterator[Journal]:
    """An empty open journal in memory, for what no store can change."""
    async with Journal.open("memory://") as journal:
        yield journal


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A journal as closing leaves it."""
    anyio.run(make_closed, tmp_path / "journal.db")
    return tmp_path / "journal.db"


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """A journal as a kill leaves it."""
    anyio.run(make_crashed, tmp_path / "journal.db")
    return tmp_path / "journal.db"
