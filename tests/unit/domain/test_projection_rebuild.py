"""A view that is built anew while the old one serves."""

import anyio
import pytest

from calliope import Journal
from calliope.domain.projection import Projection
from calliope.domain.projection_errors import (
    ProjectionParkedError,
)
from calliope.domain.projection_offsets import JournalOffsets
from calliope.domain.projection_progress import ProjectionState
from calliope.domain.projection_target import AtLeastOnce, InMemory
from tests.unit.domain.projections import (
    Counted,
    Failing,
    Happened,
    counted,
    failing,
    parked,
    summing,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def journal(anyio_backend):
    async with Journal.open("memory://") as journal:
        yield journal


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
