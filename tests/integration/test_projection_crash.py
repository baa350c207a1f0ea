"""A process dies between a handler and the offset: exactly once all the same."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from calliope import Journal
from tests.integration.projecting import CRASHED, Counted

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]


@pytest.fixture
def anyio_backend():
    return "asyncio"


def project(journal, view, crash_at):
    command = [sys.executable, "-m", "tests.integration.projecting", str(journal), str(view), str(crash_at)]
    return subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode


async def test_a_process_that_dies_in_a_batch_leaves_view_and_offset_together(tmp_path):
    journal_path, view_path = tmp_path / "journal.db", tmp_path / "view.db"
    async with Journal.open(journal_path) as journal:
        await journal.event_stream("a", Counted).persist([Counted(n) for n in range(40)])

    rows = []
    for crash_at in (1, 9, 13, 7):  # the first call; in the middle of a batch; just before its commit
        assert project(journal_path, view_path, crash_at) == CRASHED
        with closing(sqlite3.connect(view_path)) as connection:
            rows.append([n for (n,) in connection.execute("SELECT n FROM number ORDER BY id")])
            offset = connection.execute("SELECT sum(position) FROM calliope_projection").fetchone()[0] or 0
        assert offset == len(rows[-1])
    assert rows == [list(range(length)) for length in (0, 7, 14, 14)]

    assert project(journal_path, view_path, 0) == 0
    with closing(sqlite3.connect(view_path)) as connection:
        assert [n for (n,) in connection.execute("SELECT n FROM number ORDER BY id")] == list(range(40))
