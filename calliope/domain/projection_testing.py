"""`ProjectionSubject`: a projection in scenarios of `calliope.domain.testing`.

    def products(journal: Journal) -> tuple[Projection[dict[str, str]], Callable[[], list[str]]]:
        view = InMemory[dict[str, str]](dict)
        projection = Projection("products", journal, view)
        projection.on(ProductCreated)(created)
        return projection, lambda: sorted(view.view.values())

    async def test_a_product_is_listed():
        await AsyncScenario(ProjectionSubject(products)).given(ProductCreated("lamp")).then("lamp")

An event is persisted to the stream `stream-1`; `In("product-7", event)` says to which other.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Generic, TypeVar

from calliope.domain.projection import Projection
from calliope.journal import Journal

Row = TypeVar("Row")

STREAM_ID = "stream-1"
"""The stream of an event that is given without one."""

Rows = Callable[[], Sequence[Row] | Awaitable[Sequence[Row]]]
"""Reads the view."""


@dataclass(frozen=True)
class In:
    """An event of a certain stream.

    Attributes:
        stream_id: the stream.
        event: the event.
    """

    stream_id: str
    event: Any


class ProjectionSubject(Generic[Row]):
    """Puts a projection through scenarios: events are given, and events come; the rows of the view follow.

    Every scenario has a journal of its own, in memory, and a projection of its own. A view in a database should be
    given an empty one each time.

    Args:
        make: makes the projection on a journal, and the function that reads its view.
    """

    def __init__(self, make: Callable[[Journal], tuple[Projection[Any], Rows[Row]]]) -> None:
        self._make = make

    async def outcome(self, given: Sequence[Any], when: Sequence[Any], /) -> Sequence[Row]:
        """Return the rows after all events; they are handled in two lots, so that an offset is used.

        Raises:
            ProjectionParkedError: an event cannot be handled.
        """
        async with Journal.open("memory://") as journal:
            projection, rows = self._make(journal)
            for events in (given, when):
                for each in events:
                    placed = each if isinstance(each, In) else In(STREAM_ID, each)
                    await journal.event_stream(placed.stream_id, type(placed.event)).persist(placed.event)
                await projection.catch_up()
            found = rows()
            return await found if isawaitable(found) else found
