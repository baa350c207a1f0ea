"""A projection into plain Python objects: order, failures, waiting, rebuilding."""

import logging
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise

import anyio
import pytest

from calliope import Backoff, Journal, JournalClosedError, RecordedEvent, event
from calliope.domain.projection import Projection
from calliope.domain.projection_errors import (
    OffsetMovedError,
    ProjectionError,
    ProjectionParkedError,
    ProjectionStoppedError,
    ProjectionTimeoutError,
)
from calliope.domain.projection_history import HistoryEvent, ProjectionParked, ProjectionSkipped
from calliope.domain.projection_offsets import JournalOffsets
from calliope.domain.projection_progress import ProjectionState
from calliope.domain.projection_target import AtLeastOnce, InMemory
from calliope.testing import ManualClock

pytestmark = pytest.mark.anyio


class Happened:
    pass


@event("projection-test-counted")
@dataclass(frozen=True)
class Counted(Happened):
    n: int


@event("projection-test-named")
@dataclass(frozen=True)
class Named(Happened):
    name: str


@event("projection-test-ignored")
@dataclass(frozen=True)
class Ignored(Happened):
    n: int


@pytest.fixture
async def journal(anyio_backend):
    async with Journal.open("memory://") as journal:
        yield journal


def counted(*numbers):
    return [Counted(number) for number in numbers]


def summing(journal, **settings):
    """A projection of numbers into a list."""
    target = InMemory(list)
    projection = Projection("numbers", journal, target, **settings)

    @projection.on(Counted)
    def count(record: RecordedEvent[Counted], numbers: list[int]) -> None:
        numbers.append(record.data.n)

    return projection, target


async def test_events_go_to_the_handlers_of_their_classes_in_order(journal):
    view = InMemory(list)
    projection = Projection("seen", journal, view)

    @projection.on(Named)
    async def named(record, seen):
        await anyio.lowlevel.checkpoint()
        seen.append(record.data.name)

    @projection.on(Counted)
    def count(record, seen):
        seen.append(record.data.n)

    stream = journal.event_stream("a", Happened)
    await stream.persist([Counted(1), Named("two"), Ignored(3), Counted(4)])
    await projection.catch_up()

    assert view.view == [1, "two", 4]


async def test_a_class_stands_for_subclasses_that_have_no_handler(journal):
    view = InMemory(list)
    projection = Projection("seen", journal, view)
    projection.on(Happened)(lambda record, seen: seen.append("any"))
    projection.on(Counted)(lambda record, seen: seen.append("counted"))

    await journal.event_stream("a", Happened).persist([Counted(1), Named("two")])
    await projection.catch_up()

    assert view.view == ["counted", "any"]


async def test_only_streams_and_tags_that_were_chosen_are_taken(journal):
    projection, target = summing(journal, tags="vip", prefix="order-")
    await journal.event_stream("order-1", Happened).persist(counted(1), tags="vip")
    await journal.event_stream("order-1", Happened).persist(counted(2))
    await journal.event_stream("other-1", Happened).persist(counted(3), tags="vip")

    await projection.catch_up()

    assert target.view == [1]


async def test_it_catches_up_and_then_follows(journal):
    projection, target = summing(journal)
    stream = journal.event_stream("a", Happened)
    await stream.persist(counted(1, 2))
    async with projection.running():
        for number in (3, 4, 5):
            reply = await stream.persist(Counted(number))
            await projection.wait_for(reply.position)
            assert target.view == list(range(1, number + 1))


async def test_a_position_of_an_event_without_a_handler_is_waited_for_too(journal):
    projection, target = summing(journal)
    stream = journal.event_stream("a", Happened)
    async with projection.running():
        await stream.persist(Counted(1))
        reply = await stream.persist([Ignored(2), Named("x")])
        await projection.wait_for(reply.position)

        assert target.view == [1]


async def test_a_position_that_the_journal_lacks_is_refused(journal):
    projection, _ = summing(journal)
    async with projection.running():
        with pytest.raises(ValueError, match="no position 1 yet; its last is 0"):
            await projection.wait_for(1)


async def test_waiting_for_a_projection_that_nobody_runs_times_out(journal):
    projection, _ = summing(journal)
    reply = await journal.event_stream("a", Happened).persist(Counted(1))

    with pytest.raises(ProjectionTimeoutError) as caught:
        await projection.wait_for(reply.position, timeout=0)

    assert (caught.value.wanted, caught.value.seen) == (1, 0)


async def test_who_waits_learns_that_the_projection_was_stopped(journal):
    hold = anyio.Event()
    projection = Projection("held", journal, InMemory(list), batch=1)

    @projection.on(Counted)
    async def count(record, numbers):
        await hold.wait()

    await journal.event_stream("a", Happened).persist(counted(1, 2))
    errors = []

    async def wait():
        try:
            await projection.wait_for(2)
        except ProjectionStoppedError as error:
            errors.append((error.wanted, error.seen))

    async with anyio.create_task_group() as tasks, projection.running():
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        hold.set()  # the first is under way and is finished, the second never begins
        await projection.stop()

    assert errors == [(2, 1)]


async def test_leaving_the_block_finishes_the_batch_under_way(journal):
    hold, target = anyio.Event(), InMemory(list)
    projection = Projection("held", journal, target)

    @projection.on(Counted)
    async def count(record, numbers):
        await hold.wait()
        numbers.append(record.data.n)

    await journal.event_stream("a", Happened).persist(counted(1, 2, 3))
    async with projection.running():
        await anyio.wait_all_tasks_blocked()
        hold.set()

    assert target.view == [1, 2, 3]
    assert (await projection.status()).position == 3


async def test_cancelling_leaves_the_offset_behind_the_last_handled_event(journal):
    target, offsets = [], JournalOffsets(journal)
    projection = Projection("held", journal, AtLeastOnce(target, offsets))

    @projection.on(Counted)
    async def count(record, numbers):
        if record.data.n == 3:
            await anyio.sleep_forever()
        numbers.append(record.data.n)

    await journal.event_stream("a", Happened).persist(counted(1, 2, 3, 4))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(projection.run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert target == [1, 2]
    assert await offsets.load_offset("held") == 2


async def test_an_offset_survives_and_the_next_run_goes_on_behind_it(journal):
    seen = []

    def make():
        projection = Projection("seen", journal, AtLeastOnce(seen, JournalOffsets(journal)))
        projection.on(Counted)(lambda record, numbers: numbers.append(record.data.n))
        return projection

    stream = journal.event_stream("a", Happened)
    for numbers in ((1, 2), (3,), (4, 5, 6)):
        await stream.persist(counted(*numbers))
        await make().catch_up()

    assert seen == [1, 2, 3, 4, 5, 6]


async def test_a_projection_runs_once_at_a_time(journal):
    projection, _ = summing(journal)
    async with projection.running():
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ProjectionError, match="runs already"):
            await projection.run()
        with pytest.raises(ProjectionError, match="runs already"):
            await projection.catch_up()


async def test_a_projection_runs_again_after_it_was_stopped(journal):
    projection, target = summing(journal)
    stream = journal.event_stream("a", Happened)
    for number in (1, 2, 3):
        async with projection.running():
            await projection.wait_for((await stream.persist(Counted(number))).position)

    assert target.view == [1, 2, 3]


async def test_status_tells_what_it_does_and_how_far_it_is_behind(journal):
    projection, _ = summing(journal)
    stream = journal.event_stream("a", Happened)
    await stream.persist([*counted(1, 2), Ignored(3)])
    before = await projection.status()
    async with projection.running():
        await projection.wait_for(3)
        await stream.persist(Ignored(4))
        await anyio.wait_all_tasks_blocked()
        live = await projection.status()
    after = await projection.status()

    assert (before.state, before.position, before.head, before.lag) == (ProjectionState.STOPPED, 0, 3, 3)
    assert (live.state, live.head, live.lag) == (ProjectionState.IDLE, 4, 0)
    assert after.state is ProjectionState.STOPPED


class Failing:
    """Fails at one number, for a number of times."""

    def __init__(self, at, times=10**6):
        self.at, self.times, self.calls = at, times, Counter()

    def __call__(self, record, numbers):
        self.calls[record.data.n] += 1
        if record.data.n == self.at and self.calls[self.at] <= self.times:
            raise RuntimeError("out of paper")
        numbers.append(record.data.n)


def failing(journal, handler, **settings):
    clock, target = ManualClock(), InMemory(list)
    pauses = Backoff(first_seconds=1, longest_seconds=3, jitter=0)
    projection = Projection("numbers", journal, target, attempts=4, backoff=pauses, clock=clock, **settings)
    projection.on(Counted)(handler)
    return projection, target, clock


async def test_a_handler_that_fails_is_tried_again_after_growing_pauses(journal):
    handler = Failing(2, times=3)
    projection, target, clock = failing(journal, handler)
    await journal.event_stream("a", Happened).persist(counted(1, 2, 3))
    async with projection.running():
        calls = []
        for seconds in (0, 1, 2, 2.5):  # the pauses are 1, 2 and 3
            await clock.advance(seconds)
            calls.append(handler.calls[2])
        assert target.view == [1]
        await clock.advance(0.5)
        await projection.wait_for(3)

    assert calls == [1, 2, 3, 3]
    assert target.view == [1, 2, 3]
    assert handler.calls == {1: 1, 2: 4, 3: 1}


async def parked(projection, clock):
    await clock.advance(60)
    return await projection.status()


async def test_a_handler_that_fails_for_good_parks_the_projection_there(journal, caplog):
    projection, target, clock = failing(journal, Failing(2))
    await journal.event_stream("a", Happened).persist(counted(1, 2, 3))
    with caplog.at_level(logging.ERROR):
        async with projection.running():
            status = await parked(projection, clock)
            with pytest.raises(ProjectionParkedError, match="parked at position 2: RuntimeError: out of paper"):
                await projection.wait_for(3)
            await projection.wait_for(1)

    assert target.view == [1]
    assert status.state is ProjectionState.PARKED
    assert (status.parked.position, status.parked.error, status.parked.attempts) == (2, "RuntimeError: out of paper", 4)
    assert (status.parked.event_type, status.parked.stream_id) == ("projection-test-counted", "a")
    assert status.lag >= 2
    assert "parked at position 2" in caplog.text


async def test_who_waits_when_it_is_parked_learns_why(journal):
    projection, _, clock = failing(journal, Failing(2))
    await journal.event_stream("a", Happened).persist(counted(1, 2))
    errors = []

    async def wait():
        try:
            await projection.wait_for(2)
        except ProjectionParkedError as error:
            errors.append(error.position)

    async with projection.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await parked(projection, clock)

    assert errors == [2]


async def test_a_parked_projection_goes_on_when_its_handler_was_mended(journal):
    handler = Failing(2)
    projection, target, clock = failing(journal, handler)
    await journal.event_stream("a", Happened).persist(counted(1, 2, 3))
    async with projection.running():
        await parked(projection, clock)
        handler.times = 0
        projection.resume()
        await projection.wait_for(3)

    assert target.view == [1, 2, 3]


async def test_a_skipped_event_is_left_out_and_the_journal_keeps_that(journal):
    projection, target, clock = failing(journal, Failing(2))
    await journal.event_stream("a", Happened).persist(counted(1, 2, 3))
    async with projection.running():
        await parked(projection, clock)
        with pytest.raises(ProjectionError, match="parked at position 2, not at 3"):
            await projection.skip(3)
        await projection.skip(2)
        await projection.wait_for(3)
    history = await journal.event_stream("calliope:projection:numbers", HistoryEvent).query().run_collect()
    again, other, _ = failing(journal, Failing(2))
    await again.catch_up()

    assert target.view == other.view == [1, 3]
    assert history == [
        ProjectionParked(2, "projection-test-counted", "a", "RuntimeError: out of paper", 4),
        ProjectionSkipped(2, "RuntimeError: out of paper"),
    ]


async def test_what_is_not_parked_is_neither_resumed_nor_skipped(journal):
    projection, _ = summing(journal)
    async with projection.running():
        with pytest.raises(ProjectionError, match="is not parked"):
            projection.resume()
        with pytest.raises(ProjectionError, match="is not parked"):
            await projection.skip(1)


async def test_stopping_does_not_wait_for_a_pause_or_a_parked_projection(journal):
    for seconds in (0.5, 60):
        projection, target, clock = failing(journal, Failing(2))
        await journal.event_stream("a", Happened).persist(counted(1, 2))
        async with projection.running():
            await clock.advance(seconds)

        assert target.view == [1]


async def test_an_event_that_cannot_be_read_parks_and_can_be_skipped(journal):
    @event("projection-test-counted")
    @dataclass
    class Otherwise:
        other: str

    await journal.event_stream("a", Counted).persist(Counted(1))
    await journal.event_stream("a", Otherwise).persist(Otherwise("x"))
    await journal.event_stream("a", Counted).persist(Counted(3))
    projection, target = summing(journal)
    async with projection.running():
        await anyio.wait_all_tasks_blocked()
        status = await projection.status()
        await projection.skip(2)
        await projection.wait_for(3)

    assert status.parked.position == 2
    assert "EventDecodingError" in status.parked.error
    assert target.view == [1, 3]


async def test_catching_up_says_where_it_cannot_go_on(journal):
    projection = Projection("numbers", journal, InMemory(list), attempts=1)
    projection.on(Counted)(Failing(2))
    await journal.event_stream("a", Happened).persist(counted(1, 2))

    with pytest.raises(ProjectionParkedError) as caught:
        await projection.catch_up()

    assert caught.value.position == 2


async def test_a_rebuild_replaces_the_view_in_one_step_while_it_serves(journal):
    factor, hold = [1], anyio.Event()
    target = InMemory(list)
    projection = Projection("numbers", journal, target, batch=2)

    @projection.on(Counted)
    async def count(record, numbers):
        if numbers is not target.view and record.data.n == 3:
            await hold.wait()
        numbers.append(record.data.n * factor[0])

    stream = journal.event_stream("a", Happened)
    await stream.persist(counted(1, 2, 3, 4))
    async with projection.running():
        await projection.wait_for(4)
        factor[0] = 10
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(projection.rebuild)
            await anyio.wait_all_tasks_blocked()
            reply = await stream.persist(Counted(5))
            await projection.wait_for(reply.position)
            assert target.view == [1, 2, 3, 4, 50]
            hold.set()
        assert target.view == [10, 20, 30, 40, 50]
        reply = await stream.persist(Counted(6))
        await projection.wait_for(reply.position)

    assert target.view == [10, 20, 30, 40, 50, 60]


async def test_what_a_rebuild_learns_late_does_not_lead_back_what_was_seen(journal):
    asked, answered = anyio.Event(), anyio.Event()

    class SlowAfterSwitching(InMemory):
        async def switch(self, name, rebuilt):
            self.switched = await super().switch(name, rebuilt)
            return self.switched

        async def offset(self, name):
            offset = await super().offset(name)
            if hasattr(self, "switched"):
                asked.set()
                await answered.wait()
            return offset

    projection = Projection("numbers", journal, SlowAfterSwitching(list))
    projection.on(Counted)(lambda record, numbers: numbers.append(record.data.n))
    stream = journal.event_stream("a", Happened)
    await stream.persist(counted(1, 2))
    async with projection.running(), anyio.create_task_group() as tasks:
        await projection.wait_for(2)
        tasks.start_soon(projection.rebuild)
        await asked.wait()
        reply = await stream.persist(Counted(3))
        await anyio.wait_all_tasks_blocked()
        answered.set()
        await anyio.wait_all_tasks_blocked()
        await projection.wait_for(reply.position, timeout=10)


async def test_a_rebuild_takes_a_parked_projection_on(journal):
    handler = Failing(2)
    projection, target, clock = failing(journal, handler)
    await journal.event_stream("a", Happened).persist(counted(1, 2, 3))
    async with projection.running():
        await parked(projection, clock)
        handler.times = 0
        await projection.rebuild()
        await anyio.wait_all_tasks_blocked()
        status = await projection.status()

    assert target.view == [1, 2, 3]
    assert status.state is ProjectionState.IDLE


async def test_a_rebuild_that_fails_leaves_the_old_view(journal):
    projection, target = summing(journal)
    await journal.event_stream("a", Happened).persist(counted(1, 2))
    await projection.catch_up()
    broken = Projection("numbers", journal, target, attempts=1)
    broken.on(Counted)(Failing(2))

    with pytest.raises(ProjectionParkedError):
        await broken.rebuild()

    assert target.view == [1, 2]


async def test_what_cannot_be_rebuilt_says_so(journal):
    projection = Projection("mails", journal, AtLeastOnce([], JournalOffsets(journal)))

    with pytest.raises(TypeError, match="AtLeastOnce cannot be rebuilt"):
        await projection.rebuild()


async def test_an_offset_that_somebody_else_moved_is_noticed(journal):
    target = InMemory(list)
    async with target.transaction("numbers", 0) as transaction:
        transaction.reached = 2

    with pytest.raises(OffsetMovedError) as caught:
        async with target.transaction("numbers", 0):
            pytest.fail("entered")

    assert (caught.value.expected, caught.value.actual) == (0, 2)


async def test_a_closed_journal_ends_the_run_with_its_error(anyio_backend):
    async def close_while_it_runs():
        async with AsyncExitStack() as stack:
            journal = await stack.enter_async_context(Journal.open("memory://"))
            projection, _ = summing(journal)
            async with projection.running():
                await anyio.wait_all_tasks_blocked()
                await stack.aclose()
                await anyio.sleep_forever()

    with pytest.raises(JournalClosedError):
        await close_while_it_runs()


def test_mistakes_are_told_where_they_are_made():
    journal = Journal.open("memory://")
    with pytest.raises(TypeError, match="target must be a Target"):
        Projection("a", journal, {})
    with pytest.raises(ValueError, match="name must not be empty"):
        Projection("", journal, InMemory(dict))
    with pytest.raises(ValueError, match="batch must be at least 1"):
        Projection("a", journal, InMemory(dict), batch=0)
    projection = Projection("a", journal, InMemory(dict))
    with pytest.raises(TypeError):
        projection.on(int)(print)
    projection.on(Counted)(print)
    with pytest.raises(ValueError, match="Counted has a handler already"):
        projection.on(Counted)(print)


async def test_a_projection_without_handlers_says_so(journal):
    with pytest.raises(ValueError, match="without handlers takes no events"):
        await Projection("a", journal, InMemory(dict)).catch_up()


async def test_batches_are_bounded(journal):
    sizes, numbers = [], []

    class Sized(InMemory):
        def transaction(self, name, offset):
            sizes.append(len(numbers))
            return super().transaction(name, offset)

    projection = Projection("numbers", journal, Sized(list), batch=3)
    projection.on(Counted)(lambda record, view: numbers.append(record.data.n))
    await journal.event_stream("a", Happened).persist(counted(*range(8)))
    await projection.catch_up()

    assert numbers == list(range(8))
    assert all(later - earlier <= 3 for earlier, later in pairwise([*sizes, len(numbers)]))
