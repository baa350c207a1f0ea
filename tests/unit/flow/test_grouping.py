"""group_by: one stream for each key."""

from typing import Any

import anyio
import pytest

from calliope.flow import EVERYTHING, Group, Sink, Source, StreamClosedError, TooManyGroupsError
from calliope.flow.clock import settle
from tests.unit.flow.probes import Probe

pytestmark = pytest.mark.anyio


async def collected(group: Group[Any, Any]) -> tuple[Any, list[Any]]:
    return group.key, await group.elements.run_collect()


async def test_each_key_gets_its_elements_in_order() -> None:
    source = Source.from_iterable(range(1_000))
    groups = await source.group_by(lambda x: x % 3).map_async_unordered(collected, parallelism=3).run_collect()
    assert dict(groups) == {key: list(range(key, 1_000, 3)) for key in range(3)}


async def test_a_group_is_handed_out_with_its_first_element() -> None:
    queue, keys = Source.queue(4), []
    async with queue.group_by(lambda x: x).running(Sink.for_each(lambda group: keys.append(group.key))):
        for number in (1, 1, 2):
            await queue.put(number)
        await settle()
        assert keys == [1, 2]


async def test_a_group_unpacks_into_its_key_and_its_elements() -> None:
    async for key, elements in Source.of(1).group_by(str):
        assert (key, await elements.run_collect()) == ("1", [1])


async def test_too_many_groups_are_an_error_that_names_the_bound_and_the_key() -> None:
    probe = Probe(range(5))
    with pytest.raises(TooManyGroupsError, match="at most 2 keys, and 2 is one more") as caught:
        await probe.source.group_by(lambda x: x, max_groups=2).run_drain()
    assert (caught.value.max_groups, caught.value.key) == (2, 2)
    assert probe.is_closed


async def test_a_full_group_makes_everything_wait_until_it_is_run() -> None:
    probe, groups = Probe([*["a"] * 10, "b"], chunk=1), []
    async with probe.source.group_by(lambda x: x, buffer=3).running(Sink.for_each(groups.append)) as run:
        await settle()
        assert [group.key for group in groups] == ["a"]
        assert len(probe.handed) == 3 + 1
        assert await groups[0].elements.run_collect() == ["a"] * 10
        await run.result()
    assert [group.key for group in groups] == ["a", "b"]


async def test_the_end_is_known_to_all_when_the_last_element_has_found_its_group() -> None:
    probe = Probe(["a", "a", "a", "b"], chunk=4)
    inlet = probe.source.group_by(lambda x: x, buffer=1).open()
    (first,) = await inlet.pull(EVERYTHING)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(inlet.pull, 1)
        await settle()
        assert await first.elements.run_collect() == ["a"] * 3
    assert not await inlet.pull(1)
    await inlet.aclose()


async def test_a_group_that_was_left_drops_the_rest_of_its_elements() -> None:
    async def first(group: Group[int, int]) -> int:
        return await group.elements.run_first()

    source = Source.from_iterable(range(1_000)).group_by(lambda x: x % 2, buffer=2)
    assert await source.map_async(first, parallelism=2).run_collect() == [0, 1]


async def test_a_group_flows_once() -> None:
    (group,) = await Source.of(1).group_by(lambda x: x).run_collect()
    assert await group.elements.run_collect() == [1]
    with pytest.raises(StreamClosedError, match="flow only once"):
        await group.elements.run_collect()


async def test_a_group_whose_stream_was_closed_under_it_fails_instead_of_seeming_complete() -> None:
    async for group in Probe([1], stalls=True).source.group_by(lambda x: x):
        elements = group.elements
        break
    await settle()
    with pytest.raises(StreamClosedError, match="has been closed"):
        await elements.run_collect()


async def test_an_error_upstream_reaches_the_groups_after_their_elements() -> None:
    seen: list[int] = []

    async def see(group: Group[int, int]) -> None:
        await group.elements.run_for_each(seen.append)

    error = ValueError("x")
    with pytest.raises(ValueError, match="x") as caught:
        await Probe([1, 2, 3], error=error).source.group_by(lambda x: x % 2).map_async(see, 2).run_drain()
    assert caught.value is error
    assert sorted(seen) == [1, 2, 3]


async def test_a_group_that_is_run_late_still_learns_that_its_stream_failed() -> None:
    inlet = Probe([1, 2], error=ValueError("x")).source.group_by(lambda x: 0).open()
    (group,) = await inlet.pull(1)
    with pytest.raises(ValueError, match="x"):
        await inlet.pull(1)
    await inlet.aclose()
    seen: list[int] = []
    with pytest.raises(ValueError, match="x"):
        await group.elements.run_for_each(seen.append)
    assert seen == [1, 2]


async def test_the_key_of_an_element_is_computed_once() -> None:
    computed: list[int] = []

    def key(x: int) -> int:
        computed.append(x)
        return x % 2

    await Source.from_iterable(range(20)).group_by(key, buffer=1).map_async(collected, 2).run_drain()
    assert computed == list(range(20))
