"""Live queries by the thousands: all of them hear of a new event, and none costs anything when it is gone."""

from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from calliope import Journal

pytestmark = pytest.mark.anyio

FOLLOWERS = 10_000
STREAMS = 100


@dataclass(frozen=True)
class Note:
    number: int


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_ten_thousand_live_queries_see_a_new_event(tmp_path: Path) -> None:
    begun: list[Note] = []
    seen: list[Note] = []
    all_begun = anyio.Event()
    async with Journal.open(tmp_path / "journal.db") as journal:
        streams = [journal.event_stream(f"stream-{number}", Note) for number in range(STREAMS)]

        async def follow(number: int) -> None:
            async for note in streams[number % STREAMS].live_query().take(2):
                (begun if note.number < STREAMS else seen).append(note)
                if len(begun) == FOLLOWERS:
                    all_begun.set()

        for number, stream in enumerate(streams):
            await stream.persist(Note(number))
        async with anyio.create_task_group() as tasks:
            for number in range(FOLLOWERS):
                tasks.start_soon(follow, number)
            await all_begun.wait()
            assert not seen
            for number, stream in enumerate(streams):
                await stream.persist(Note(STREAMS + number))
        assert not journal._store.tail.awaited
    assert len(seen) == FOLLOWERS


async def test_a_live_query_begins_with_stored_events_and_goes_on_without_a_seam(tmp_path: Path) -> None:
    """Many begin at any moment while events are written; each sees all of them, in order, once."""
    events, followers = 300, 30
    async with Journal.open(tmp_path / "journal.db") as journal:
        stream = journal.event_stream("stream", Note)

        async def follow() -> None:
            notes = await stream.live_query().take(events).run_collect()
            assert [note.number for note in notes] == list(range(events))

        async with anyio.create_task_group() as tasks:
            for number in range(events):
                if number % (events // followers) == 0:
                    tasks.start_soon(follow)
                await stream.persist(Note(number))
