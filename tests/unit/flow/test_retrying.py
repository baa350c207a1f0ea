"""retry: a failed stream is opened again, after a pause that grows."""

import pytest

from calliope.flow import Backoff, ManualClock, Sink, Source
from tests.unit.flow.probes import Probe, RushingClock

pytestmark = pytest.mark.anyio


class Flaky:
    """Fails a number of times, after one element each, and then ends after two."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.probes = [*(Probe([1], error=error) for _ in range(failures)), Probe([1, 2])]
        self.opened = 0

    @property
    def source(self) -> Source[int]:
        return Source.from_inlet(self._open)

    def _open(self):
        assert all(probe.is_closed for probe in self.probes)
        self.opened += 1
        return self.probes[self.opened - 1].source.open()


async def test_a_stream_that_fails_is_opened_again_from_its_beginning() -> None:
    flaky = Flaky(2, ValueError("x"))
    assert await flaky.source.retry(3, clock=RushingClock()).run_collect() == [1, 1, 1, 2]
    assert flaky.opened == 3


async def test_the_error_of_the_last_attempt_surfaces() -> None:
    error = ValueError("x")
    flaky = Flaky(5, error)
    with pytest.raises(ValueError, match="x") as caught:
        await flaky.source.retry(3, clock=RushingClock()).run_drain()
    assert caught.value is error
    assert flaky.opened == 3


async def test_other_errors_are_not_worth_another_attempt() -> None:
    flaky = Flaky(1, ValueError("x"))
    with pytest.raises(ValueError, match="x"):
        await flaky.source.retry(3, errors=OSError, clock=RushingClock()).run_drain()
    assert flaky.opened == 1


async def test_the_pauses_grow_are_capped_and_spread_by_chance() -> None:
    clock, opened = ManualClock(), []

    class Watched(Flaky):
        def _open(self):
            opened.append(clock.now())
            return super()._open()

    source = Watched(4, ValueError("x")).source.retry(
        9, backoff=Backoff(1, 5, factor=3, jitter=0.5), clock=clock, random=lambda: 0.5
    )
    async with source.running(Sink.drain()) as run:
        await clock.advance(100)
        await run.result()
    assert opened == [0, 0.75, 0.75 + 2.25, 3 + 3.75, 6.75 + 3.75]


async def test_a_cancelled_pause_opens_nothing() -> None:
    flaky, clock = Flaky(1, ValueError("x")), ManualClock()
    async with flaky.source.retry(clock=clock).running(Sink.drain()):
        await clock.advance(0)
    assert flaky.opened == 1


async def test_stages_of_a_flow_retry_the_source_they_are_put_behind() -> None:
    flaky = Flaky(1, ValueError("x"))
    failing = flaky.source.map(lambda x: x * 10)
    assert await failing.retry(clock=RushingClock()).run_collect() == [10, 10, 20]


def test_pauses_stay_within_their_bounds() -> None:
    full, none = Backoff(0.5, 8, jitter=1), Backoff(0.5, 8, jitter=0)
    assert [none.pause_seconds(failures, 0.9) for failures in (1, 2, 3, 4, 5, 6)] == [0.5, 1, 2, 4, 8, 8]
    assert none.pause_seconds(1_000_000, 0.9) == 8
    assert full.pause_seconds(3, 1) == 0
    assert full.pause_seconds(3, 0) == 2


@pytest.mark.parametrize(
    "arguments", [{"first_seconds": -1}, {"first_seconds": 31}, {"factor": 0.9}, {"jitter": 2}, {"jitter": -1}]
)
def test_a_backoff_that_makes_no_sense_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Backoff(**arguments)
