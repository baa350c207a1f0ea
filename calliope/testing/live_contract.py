"""What every store promises about its tail, and to those who read live."""
# ruff: noqa: D102 - the name of a test is a sentence

from operator import attrgetter

import anyio
import pytest
from anyio.lowlevel import checkpoint

from calliope.errors import JournalClosedError
from calliope.reading import RecordDecoder, live_source
from calliope.stores.protocol import EventStore
from calliope.stores.record import Selection, StoredRecord
from calliope.testing.everything import ALL, everything
from calliope.testing.requests import append_of

PATIENCE_SECONDS = 30.0
"""How long a live reader may take before it counts as stuck."""


class LiveContract:
    """Live reading: publication in order, waking, and the seam between stored and new records."""

    async def test_what_was_appended_is_in_the_tail_in_order(self, store: EventStore) -> None:
        start = store.tail.position
        replies = [await store.append(append_of("ab"[n % 2], *[b"%d" % n] * 3)) for n in range(10)]
        log = [record for reply in replies for record in reply]
        assert store.tail.position == log[-1].position
        assert store.tail.covers(start)
        assert store.tail.after(start, ALL) == log
        for record in log:
            assert store.tail.after(record.position, ALL) == [r for r in log if r.position > record.position]
        assert store.tail.after(start, Selection(stream_id="a")) == [r for r in log if r.stream_id == "a"]
        assert store.tail.after(start, Selection(prefix="b")) == [r for r in log if r.stream_id == "b"]

    async def test_whoever_resumes_from_an_append_finds_it_published(self, store: EventStore) -> None:
        async def append(stream_id: str) -> None:
            for _ in range(10):
                records = await store.append(append_of(stream_id))
                assert store.tail.position >= records[-1].position

        async with anyio.create_task_group() as group:
            for n in range(10):
                group.start_soon(append, f"s-{n}")

    async def test_an_append_wakes_those_who_wait_for_its_stream_or_for_any(self, store: EventStore) -> None:
        woken: list[str] = []

        async def wait(name: str, stream_id: str | None) -> None:
            await store.tail.wait(stream_id)
            woken.append(name)

        async with anyio.create_task_group() as group:
            for name, stream_id in (("a", "a"), ("a too", "a"), ("b", "b"), ("any", None)):
                group.start_soon(wait, name, stream_id)
            await anyio.wait_all_tasks_blocked()
            await store.append(append_of("a"))
            await anyio.wait_all_tasks_blocked()
            assert sorted(woken) == ["a", "a too", "any"]
            await store.append(append_of("b"))
        assert len(woken) == 4

    async def test_closing_ends_the_waiting(self, store: EventStore) -> None:
        ended: list[str | None] = []

        async def wait(stream_id: str | None) -> None:
            with pytest.raises(JournalClosedError):
                await live_source(store, Selection(stream_id=stream_id), 0, _UNDECODED).run_drain()
            ended.append(stream_id)

        async with anyio.create_task_group() as group:
            for stream_id in ("a", "b", None):
                group.start_soon(wait, stream_id)
            await anyio.wait_all_tasks_blocked()
            await store.aclose()
        assert len(ended) == 3

    async def test_a_cancelled_wait_leaves_the_others_waiting(self, store: EventStore) -> None:
        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as group:
                for stream_id in ("a", None):
                    group.start_soon(store.tail.wait, stream_id)
                async with anyio.create_task_group() as cancelled:
                    for stream_id in ("a", None, "never written to"):
                        cancelled.start_soon(store.tail.wait, stream_id)
                    await anyio.wait_all_tasks_blocked()
                    cancelled.cancel_scope.cancel()
                assert store.tail.awaited
                await store.append(append_of("a"))
        assert not store.tail.awaited

    async def test_at_the_seam_nothing_is_missing_or_doubled(self, store: EventStore) -> None:
        await store.append(append_of("s-0", *[b"before"] * 200))
        selections = [
            ALL,
            Selection(stream_id="s-0"),
            Selection(stream_id="s-3"),
            Selection(types=frozenset({"odd"})),
            Selection(prefix="s-1"),
            Selection(tags=frozenset({"red"})),
        ]
        seen: list[list[StoredRecord]] = [[] for _ in range(3 * len(selections))]

        async def write(writer: int) -> None:
            for n in range(30):
                tags = ("red",) if n % 4 == 0 else ()
                request = append_of(f"s-{writer}", *[b"%d" % n] * (1 + n % 3), type=("even", "odd")[n % 2], tags=tags)
                await store.append(request)

        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as readers:
                async with anyio.create_task_group() as writers:
                    for writer in range(8):
                        writers.start_soon(write, writer)
                    for index, records in enumerate(seen):  # some begin when there is little, some in the midst
                        readers.start_soon(follow, store, selections[index % len(selections)], records)
                        for _ in range(10):
                            await checkpoint()
                log = await everything(store, limit=100_000)
                while not all(len(records) >= len(selections[i % 6].among(log)) for i, records in enumerate(seen)):
                    await checkpoint()
                await anyio.wait_all_tasks_blocked()
                readers.cancel_scope.cancel()
        for index, records in enumerate(seen):
            assert records == selections[index % len(selections)].among(log)

    @pytest.mark.parametrize("stream_id", [None, "a"])
    async def test_a_reader_that_falls_behind_the_tail_misses_nothing(
        self, store: EventStore, stream_id: str | None
    ) -> None:
        seen: list[StoredRecord] = []
        selection = Selection(stream_id=stream_id)
        async with anyio.create_task_group() as group:
            group.start_soon(follow, store, selection, seen)
            await store.append(append_of("a", b"first"))
            await anyio.wait_all_tasks_blocked()
            for n in range(6):
                await store.append(append_of("ab"[n % 2], *[b"%d" % n] * 4_000))
            assert not store.tail.covers(seen[0].position if seen else 0), "the tail is bounded"
            (last,) = await store.append(append_of("a", b"last"))
            with anyio.fail_after(PATIENCE_SECONDS):
                while not seen or seen[-1] != last:
                    await checkpoint()
            group.cancel_scope.cancel()
        assert seen == selection.among(await everything(store))


async def follow(store: EventStore, selection: Selection, into: list[StoredRecord]) -> None:
    """Read live what a selection gives, for ever."""
    await live_source(store, selection, 0, _UNDECODED).run_for_each(into.append)


async def follow_to(store: EventStore, selection: Selection, last: bytes, into: list[StoredRecord]) -> None:
    """Read live what a selection gives, through the first record that has a payload."""
    live = live_source(store, selection, 0, _UNDECODED)
    into += await live.take_while(lambda record: record.payload != last, inclusive=True).run_collect()


def _same(record: StoredRecord) -> StoredRecord:
    return record


_UNDECODED: RecordDecoder[StoredRecord] = RecordDecoder(_same, attrgetter("records"))
