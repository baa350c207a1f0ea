"""Submitting many requests at once, so that they share commits, in an order that the store keeps."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from calliope.errors import CalliopeError
from calliope.flow.by_hand import in_trio


async def submitted_in_order(calls: Sequence[Callable[[], Awaitable[None]]], *, one_by_one: bool = False) -> None:
    """Start calls in order, wait for all of them, and raise the error of the first that failed.

    One by one each is awaited before the next, and an error ends it: for stores that do not place requests in order.

    Cancellation cancels those that have not ended. The tasks are asyncio's own: with thousands of short ones, a task
    group of anyio would take most of the time.
    """
    if one_by_one or in_trio():  # its tasks start in random order
        for call in calls:
            await call()
        return
    errors: dict[int, CalliopeError] = {}

    async def run(place: int, call: Callable[[], Awaitable[None]]) -> None:
        try:
            await call()
        except CalliopeError as error:
            errors[place] = error

    async with asyncio.TaskGroup() as tasks:
        for place, call in enumerate(calls):
            tasks.create_task(run(place, call))
    if errors:
        raise errors[min(errors)]
