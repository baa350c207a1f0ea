from dataclasses import dataclass
from typing import Any

import attrs
import msgspec
import pydantic
import pytest

from calliope import EventDecodingError, Journal, MissingUpcasterError, UntypedEvent, event, upcast
from calliope.upcasting import missing_upcaster, upcasted

pytestmark = pytest.mark.anyio


def _version_3_of_anything() -> type:
    @event("thing", version=3)
    @dataclass
    class Thing:
        name: str
        size: int
        unit: str

    @upcast(Thing, from_version=1)
    def size_was_implicit(payload: dict[str, Any]) -> dict[str, Any]:
        return {**payload, "size": 1}

    @upcast(Thing, from_version=2)
    def unit_was_metric(payload: dict[str, Any]) -> dict[str, Any]:
        return {**payload, "unit": "cm"}

    return Thing


@pytest.mark.parametrize(
    ("version", "stored", "read"),
    [
        (1, {"name": "a"}, ("a", 1, "cm")),
        (2, {"name": "b", "size": 7}, ("b", 7, "cm")),
        (3, {"name": "c", "size": 8, "unit": "in"}, ("c", 8, "in")),
    ],
)
async def test_old_payloads_are_taken_step_by_step_to_the_current_version(memory_journal, version, stored, read):
    thing = _version_3_of_anything()
    await memory_journal.event_stream("s", UntypedEvent).persist(UntypedEvent("thing", stored, version))
    (record,) = await memory_journal.event_stream("s", thing).records().run_collect()
    assert record.data == thing(*read)
    assert record.schema_version == version


async def test_old_payloads_become_objects_of_every_kind_of_class(memory_journal):
    @event("struct", version=2)
    class Struct(msgspec.Struct, tag="struct"):
        x: int

    @event("attrs", version=2)
    @attrs.define
    class Attrs:
        x: int

    @event("pydantic", version=2)
    class Pydantic(pydantic.BaseModel):
        x: int

    for event_class in (Struct, Attrs, Pydantic):
        upcast(event_class, from_version=1)(lambda payload: {**payload, "x": 5})
        name = event_class.__name__.lower()
        await memory_journal.event_stream(name, UntypedEvent).persist(
            UntypedEvent(name, {"type": "struct"} if name == "struct" else {})
        )
        assert await memory_journal.event_stream(name, event_class).query().run_collect() == [event_class(x=5)]


async def test_a_missing_step_is_an_error_that_names_it(memory_journal: Journal):
    @event("gap", version=4)
    @dataclass
    class Gap:
        x: int

    upcast(Gap, from_version=1)(lambda payload: payload)
    upcast(Gap, from_version=3)(lambda payload: payload)
    await memory_journal.event_stream("s", UntypedEvent).persist(
        [UntypedEvent("other", {}), UntypedEvent("gap", {"x": 1}, 1)]
    )
    with pytest.raises(MissingUpcasterError, match="has no upcaster from version 2") as raised:
        await memory_journal.event_stream("s", Gap).query(after=1).run_collect()
    error = raised.value
    assert (error.stream_id, error.position, error.type, error.schema_version) == ("s", 2, "gap", 1)


async def test_an_event_that_is_newer_than_the_code_is_an_error(memory_journal: Journal):
    thing = _version_3_of_anything()
    await memory_journal.event_stream("s", UntypedEvent).persist(UntypedEvent("thing", {}, 4))
    with pytest.raises(MissingUpcasterError, match="is newer than this code, which knows version 3") as raised:
        await memory_journal.event_stream("s", thing).query().run_collect()
    assert raised.value.schema_version == 4


@pytest.mark.parametrize(
    "upcaster", [lambda payload: payload["no such field"], lambda payload: None, lambda payload: {}]
)
async def test_an_upcaster_that_fails_or_gives_what_does_not_fit_is_an_error(memory_journal: Journal, upcaster):
    @event("failing", version=2)
    @dataclass
    class Failing:
        x: int

    upcast(Failing, from_version=1)(upcaster)
    await memory_journal.event_stream("s", UntypedEvent).persist(UntypedEvent("failing", {}))
    with pytest.raises(EventDecodingError, match="event 'failing' version 1 at position 1 of stream 's' does not fit"):
        await memory_journal.event_stream("s", Failing).query().run_collect()


async def test_an_upcaster_that_is_registered_later_is_used_from_then_on(memory_journal: Journal):
    @event("late", version=2)
    @dataclass
    class Late:
        x: int

    await memory_journal.event_stream("s", UntypedEvent).persist(UntypedEvent("late", {}))
    stream = memory_journal.event_stream("s", Late)
    with pytest.raises(MissingUpcasterError):
        await stream.query().run_collect()
    upcast(Late, from_version=1)(lambda payload: {"x": 3})
    assert await stream.query().run_collect() == [Late(3)]


def test_a_class_without_versions_has_nothing_to_upcast():
    class Undecorated:
        pass

    with pytest.raises(
        ValueError, match=r"Undecorated has no versions to upcast: decorate it with @event\(version=2\)"
    ):
        upcast(Undecorated, from_version=1)


@pytest.mark.parametrize("from_version", [0, 3, 4, -1])
def test_only_versions_before_the_current_one_are_upcast(from_version):
    with pytest.raises(ValueError, match=f"from_version must be from 1 to 2 for 'thing', not {from_version}"):
        upcast(_version_3_of_anything(), from_version=from_version)


def test_a_version_has_one_upcaster():
    thing = _version_3_of_anything()
    with pytest.raises(ValueError, match="'thing' has an upcaster from version 1 already"):
        upcast(thing, from_version=1)


def test_the_upcaster_remains_an_ordinary_function():
    @event(version=2)
    class Ordinary:
        pass

    def function(payload: dict[str, Any]) -> dict[str, Any]:
        return payload

    assert upcast(Ordinary, from_version=1)(function) is function


def test_the_current_version_needs_no_upcaster():
    definition = _version_3_of_anything().__dict__["__calliope_event__"]
    assert [missing_upcaster(definition, version) for version in (1, 2, 3)] == [None, None, None]
    assert upcasted(definition, {"name": "a"}, 3) == {"name": "a"}
