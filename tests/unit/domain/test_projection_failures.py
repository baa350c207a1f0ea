"""Handlers that fail: tried again, parked, resumed, skipped."""

import logging
from dataclasses import dataclass

import anyio
import pytest

from calliope import Journal, event
from calliope.domain.projection import Projection
from calliope.domain.projection_errors import (
    ProjectionError,
    ProjectionParkedError,
)
from calliope.domain.projection_history import HistoryEvent, ProjectionParked, ProjectionSkipped
from calliope.domain.projection_progress import ProjectionState
from calliope.domain.projection_target import InMemory
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
