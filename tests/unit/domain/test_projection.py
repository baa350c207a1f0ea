"""A projection into plain Python objects: order, waiting, running, stopping."""

from contextlib import AsyncExitStack
from itertools import pairwise

import anyio
import pytest

from calliope import Journal, JournalClosedError
from calliope.domain.projection import Projection
from calliope.domain.projection_errors import (
    OffsetMovedError,
    ProjectionError,
    ProjectionStoppedError,
    ProjectionTimeoutError,
)
from calliope.domain.projection_offsets import JournalOffsets
from calliope.domain.projection_progress import ProjectionState
from calliope.domain.projection_target import AtLeastOnce, InMemory
from tests.unit.domain.projections import (
    Counted,
    Happened,
    Ignored,
    Named,
    counted,
    summing,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def journal(anyio_backend):
    async with Journal.open("memory://") as journal:
        yield journal


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
