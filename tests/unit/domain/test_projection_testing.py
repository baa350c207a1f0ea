from dataclasses import dataclass

import pytest

from calliope import event
from calliope.domain.projection import Projection
from calliope.domain.projection_errors import ProjectionParkedError
from calliope.domain.projection_target import InMemory
from calliope.domain.projection_testing import In, ProjectionSubject
from calliope.domain.testing import AsyncScenario

pytestmark = pytest.mark.anyio


@event("projection-kit-test-created")
@dataclass(frozen=True)
class Created:
    name: str


@event("projection-kit-test-deleted")
@dataclass(frozen=True)
class Deleted:
    pass


def products(journal):
    view = InMemory(dict)
    projection = Projection("products", journal, view, attempts=1)

    @projection.on(Created)
    def created(record, names):
        names[record.stream_id] = record.data.name

    @projection.on(Deleted)
    def deleted(record, names):
        del names[record.stream_id]

    async def rows():
        return sorted(view.view.values())

    return projection, rows


catalogue = AsyncScenario(ProjectionSubject(products))


async def test_the_view_follows_from_what_was_given():
    await catalogue.given(In("p-1", Created("lamp")), In("p-2", Created("chair"))).then("chair", "lamp")


async def test_what_comes_later_is_taken_too():
    await (
        catalogue.given(In("p-1", Created("lamp")), In("p-2", Created("chair")))
        .when(In("p-1", Deleted()))
        .then("chair")
    )


async def test_an_event_without_a_stream_goes_to_one_of_its_own():
    await catalogue.given(Created("lamp"), Created("lantern")).then("lantern")


async def test_nothing_makes_an_empty_view():
    await catalogue.given().then()


async def test_a_view_that_differs_fails_the_test():
    with pytest.raises(AssertionError):
        await catalogue.given(Created("lamp")).then("chair")


async def test_a_handler_that_fails_is_told():
    await catalogue.given(Deleted()).when().rejected(error=ProjectionParkedError)
