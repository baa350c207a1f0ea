"""Live queries by the thousands: all of them hear of a new event, and none costs anything when it is gone."""

from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from calliope import Journal
from tests.unit.calliope.replicas import store_of

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Note:
    number: int


async def follow_all(path: Path, followers: int, stream_count: int) -> None:
    """Let so many live queries follow so many streams, and see that each hears of what is stored and of what comes."""
    begun: list[int] = []
    seen: list[int] = []
    all_begun = anyio.Event()
    async with Journal.open(path) as journal:
        streams = [journal.event_stream(f"stream-{number}", Note) for number in range(stream_count)]

        async def follow(number: int) -> None:
            stored, new = Note(number % stream_count), Note(stream_count + number % stream_count)
            async for note in streams[number % stream_count].live_query().take(2):
                assert note == (new if begun_by[number] else stored)
                begun_by[number] = True
                (seen if note == new else begun).append(number)
                if len(begun) == followers:
                    all_begun.set()

        async def persist_to_all(first: int) -> None:
            async with anyio.create_task_group() as tasks:
                for number, stream in enumerate(streams):
                    tasks.start_soon(stream.persist, Note(first + number))

        begun_by = [False] * followers
        await persist_to_all(0)
        async with anyio.create_task_group() as tasks:
            for number in range(followers):
                tasks.start_soon(follow, number)
            await all_begun.wait()
            assert not seen
            await persist_to_all(stream_count)
        assert not store_of(journal).tail.awaited
    assert sorted(seen) == sorted(begun) == list(range(followers))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_thousands_of_live_queries_see_a_new_event(tmp_path: Path) -> None:
    await follow_all(tmp_path / "journal.db", 2_000, 100)


@pytest.mark.soak
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("stream_count", [1, 10_000])
async def test_ten_thousand_live_queries_see_a_new_event(tmp_path: Path, stream_count: int) -> None:
    await follow_all(tmp_path / "journal.db", 10_000, stream_count)


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
