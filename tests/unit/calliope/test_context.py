import anyio
import pytest

from calliope import Journal, Source, caused_by, current_metadata, with_metadata
from tests.unit.calliope.orders import ItemAdded, OrderEvent, Paid

pytestmark = pytest.mark.anyio


async def _persisted(journal: Journal, **arguments):
    reply = await journal.event_stream("s", OrderEvent).persist(ItemAdded("a"), **arguments)
    return dict(reply.records[0].metadata)


async def test_there_is_no_metadata_unless_somebody_sets_it(journal: Journal):
    assert dict(current_metadata()) == {}
    assert await _persisted(journal) == {}


async def test_metadata_of_a_block_is_stored_with_every_event_persisted_in_it(journal: Journal):
    with with_metadata(correlation_id="c", tenant=7):
        assert await _persisted(journal) == {"correlation_id": "c", "tenant": 7}
        with with_metadata(tenant=8, user="u"):
            assert await _persisted(journal) == {"correlation_id": "c", "tenant": 8, "user": "u"}
        assert await _persisted(journal) == {"correlation_id": "c", "tenant": 7}
    assert await _persisted(journal) == {}
    stored = [dict(record.metadata) for record in await journal.records(event_type=OrderEvent).run_collect()]
    assert [metadata.get("tenant") for metadata in stored] == [7, 8, 7, None]


async def test_what_a_caller_gives_goes_before_what_the_block_says(journal: Journal):
    with with_metadata(tenant=7, user="u"):
        assert await _persisted(journal, metadata={"tenant": 1}) == {"tenant": 1, "user": "u"}


async def test_a_block_ends_with_an_error_too():
    with pytest.raises(RuntimeError), with_metadata(tenant=7):
        raise RuntimeError
    assert dict(current_metadata()) == {}


async def test_an_effect_names_its_cause_and_shares_its_correlation(journal: Journal):
    stream = journal.event_stream("s", OrderEvent)
    with with_metadata(correlation_id="request-17"):
        first = (await stream.persist(ItemAdded("a"))).records[0]
    with caused_by(first):
        second = (await stream.persist(Paid())).records[0]
    with caused_by(second):
        third = (await stream.persist(Paid())).records[0]
    assert dict(second.metadata) == {"correlation_id": "request-17", "causation_id": first.id}
    assert dict(third.metadata) == {"correlation_id": "request-17", "causation_id": second.id}


async def test_a_cause_without_a_correlation_begins_one(journal: Journal):
    stream = journal.event_stream("s", OrderEvent)
    first = (await stream.persist(ItemAdded("a"))).records[0]
    with caused_by(first):
        second = (await stream.persist(Paid())).records[0]
    with caused_by(second):
        third = (await stream.persist(Paid())).records[0]
    assert second.metadata["correlation_id"] == third.metadata["correlation_id"] == first.id
    assert third.metadata["causation_id"] == second.id


async def test_metadata_follows_into_tasks_and_not_between_them(journal: Journal):
    found: dict[str, dict[str, object]] = {}

    async def persist(name: str) -> None:
        with with_metadata(task=name):
            await anyio.lowlevel.checkpoint()
            found[name] = await _persisted(journal)

    with with_metadata(correlation_id="c"):
        async with anyio.create_task_group() as group:
            for name in ("one", "two", "three"):
                group.start_soon(persist, name)
    assert found == {name: {"correlation_id": "c", "task": name} for name in ("one", "two", "three")}
    assert dict(current_metadata()) == {}


async def test_metadata_reaches_what_a_stream_does_in_tasks_of_its_own(journal: Journal):
    async def persist(number: int) -> object:
        return (await _persisted(journal)).get("run")

    with with_metadata(run="r"):
        assert await Source.of(1, 2, 3).map_async(persist, 2).run_collect() == ["r", "r", "r"]


async def test_nobody_can_change_the_metadata_of_others():
    with with_metadata(tenant=7):
        with pytest.raises(TypeError):
            current_metadata()["tenant"] = 8  # type: ignore[index]
        assert dict(current_metadata()) == {"tenant": 7}


async def test_metadata_of_a_block_must_be_plain_as_any_other(journal: Journal):
    with with_metadata(correlation_id=object()), pytest.raises(ValueError, match=r"metadata .* cannot be stored"):
        await _persisted(journal)
    assert await journal.event_stream("s", OrderEvent).version() == 0
