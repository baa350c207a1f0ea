"""Which classes a stream holds, under which stored types, and what becomes of records that do not fit them."""

from abc import ABC
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from typing_extensions import TypeAliasType

from calliope import (
    EventDecodingError,
    EventEncodingError,
    MissingUpcasterError,
    UnknownEventTypeError,
    UntypedEvent,
    event,
)
from calliope.codec import EventCodec, event_classes, stored_names
from calliope.limits import PAYLOAD_BYTES_MAX
from calliope.payload import decode_plain, encode_plain
from calliope.stores.record import StoredRecord, StoredType
from calliope.stores.run import RecordRun

T = TypeVar("T")


@dataclass
class Added:
    sku: str


class Paid(msgspec.Struct):
    amount: int


@attrs.define
class Shipped:
    address: str


class Returned(pydantic.BaseModel):
    reason: str


AnyOfThem = Added | Paid | Shipped | Returned
Nested = TypeAliasType("Nested", AnyOfThem)
Alias = TypeAliasType("Alias", Nested | UntypedEvent)


def record_of(name: str, payload: Any, version: int = 1) -> StoredRecord:
    data = payload if isinstance(payload, bytes) else encode_plain(payload)
    return StoredRecord(7, "s", 3, StoredType(name, version), 0, data)


def round_trip(codec: EventCodec[Any], value: Any) -> Any:
    stored_type, payload = codec.encode(value)
    return codec.decode(StoredRecord(1, "s", 1, stored_type, 0, payload))


EXAMPLES = [Added("a"), Paid(3), Shipped("here"), Returned(reason="broken")]


@pytest.mark.parametrize("value", EXAMPLES)
def test_a_class_of_any_kind_is_stored_under_its_name_as_a_map_of_its_fields(value):
    codec = EventCodec(type(value))
    stored_type, payload = codec.encode(value)
    assert stored_type == (type(value).__name__, 1)
    assert list(decode_plain(payload)) == list(type(value).__annotations__)
    assert round_trip(codec, value) == value


@pytest.mark.parametrize("event_type", [AnyOfThem, Nested, Added | Nested])
@pytest.mark.parametrize("value", EXAMPLES)
def test_a_union_and_an_alias_of_it_stand_for_each_of_their_classes(event_type, value):
    assert round_trip(EventCodec(event_type), value) == value


def test_many_records_are_decoded_at_once():
    codec = EventCodec(AnyOfThem)
    records = [StoredRecord(1, "s", 1, *codec.encode(value)[:1], 0, codec.encode(value)[1]) for value in EXAMPLES]
    for record in records:
        codec.decode(record)
    assert RecordRun(records).typed_payloads().decoded(codec.decode_array) == EXAMPLES


def test_a_base_class_stands_for_its_subclasses_also_those_that_are_defined_later():
    class OrderEvent(ABC):  # noqa: B024 - what it is for
        pass

    codec = EventCodec(OrderEvent)

    @dataclass(frozen=True)
    class Plain(OrderEvent):
        x: int

    @event("order-slotted")
    @dataclass(frozen=True, slots=True)
    class Slotted(OrderEvent):
        x: int

    @attrs.define
    class WithAttrs(OrderEvent):
        x: int

    class Deep(Plain):
        pass

    for value in (Plain(1), Slotted(2), WithAttrs(3), Deep(4)):
        assert round_trip(codec, value) == value
        assert type(round_trip(EventCodec(OrderEvent), value)) is type(value)
    assert codec.encode(Slotted(2))[0] == ("order-slotted", 1)


def test_a_class_that_is_defined_again_replaces_the_earlier_one():
    class Thing:
        pass

    def define() -> type:
        @dataclass
        class Again(Thing):
            x: int

        return Again

    codec = EventCodec(Thing)
    earlier = define()
    assert type(round_trip(codec, earlier(1))) is earlier
    later = define()
    assert type(round_trip(codec, later(1))) is later


def test_two_classes_of_one_stored_name_are_refused_by_name():
    @event("Added")
    @dataclass
    class Other:
        x: int

    with pytest.raises(ValueError, match=r"Added and .*Other are both stored as 'Added'; name one of them with @event"):
        EventCodec(Added | Other)
    with pytest.raises(ValueError, match="both stored as 'Added'"):
        EventCodec(Other | Added)


def test_a_former_name_counts_as_a_name():
    @event("new-name", aliases=["Added"])
    @dataclass
    class Renamed:
        sku: str

    with pytest.raises(ValueError, match="both stored as 'Added'"):
        EventCodec(Added | Renamed)
    codec = EventCodec(Renamed)
    assert codec.decode(record_of("Added", {"sku": "a"})) == Renamed("a")
    assert codec.decode(record_of("new-name", {"sku": "b"})) == Renamed("b")
    assert codec.encode(Renamed("c"))[0] == ("new-name", 1)


def test_a_class_defined_later_under_a_name_that_is_taken_makes_reading_fail_with_the_record():
    class Thing:
        pass

    @event("taken")
    @dataclass
    class One(Thing):
        x: int

    codec = EventCodec(Thing)

    @event("taken")
    @dataclass
    class Two(Thing):
        x: int

    with pytest.raises(
        UnknownEventTypeError, match=r"event 'new' .* of stream 's' is of no one type: .*both stored as 'taken'"
    ):
        codec.decode(record_of("new", {}))
    with pytest.raises(ValueError, match="both stored as 'taken'"):
        codec.encode(Two(1))


class Point(NamedTuple):
    x: int


class Movie(TypedDict):
    title: str


@dataclass
class Box(Generic[T]):
    content: T


@pytest.mark.parametrize(
    "event_type",
    [int, str, dict, list, tuple, object, None, type(None), Any, list[int], Point, Movie, "Added", 5, Box[int], T],
    ids=repr,
)
def test_what_cannot_be_an_event_is_refused_at_once(event_type):
    for candidate in (event_type, Added | event_type if isinstance(event_type, type) else event_type):
        with pytest.raises(
            TypeError, match=r"an event type is a dataclass, a msgspec.Struct, an attrs class, a pydantic"
        ):
            EventCodec(candidate)


def test_an_optional_event_is_refused():
    with pytest.raises(TypeError, match="not <class 'NoneType'>"):
        EventCodec(Added | None)


def test_an_event_of_another_class_is_refused_by_name():
    for value in (Paid(1), None, {"sku": "a"}, Added, UntypedEvent("Added", {"sku": "a"})):
        with pytest.raises(TypeError, match="is no event of this stream, which holds Added"):
            EventCodec(Added).encode(value)


def test_a_record_of_an_unknown_type_is_an_error_that_says_what_is_known():
    with pytest.raises(
        UnknownEventTypeError,
        match=r"event 'gone' version 2 at position 7 of stream 's' is of no known type; known are Added, Paid$",
    ) as raised:
        EventCodec(Paid | Added).decode(record_of("gone", {}, version=2))
    error = raised.value
    assert (error.stream_id, error.position, error.type, error.schema_version) == ("s", 7, "gone", 2)


def test_a_record_that_is_newer_than_the_class_is_an_error():
    with pytest.raises(MissingUpcasterError, match="event 'Added' version 2 at position 7 of stream 's' is newer"):
        EventCodec(Added).decode(record_of("Added", {"sku": "a"}, version=2))


@pytest.mark.parametrize(
    ("event_type", "payload"),
    [
        (Added, {}),
        (Added, {"sku": 5}),
        (Added, []),
        (Added, b""),
        (Added, b"\xc1"),
        (Added, encode_plain({"sku": "a"})[:-1]),
        (Added, encode_plain({"sku": "a"}) + b"\0"),
        (Paid, {"amount": "5"}),
        (Shipped, {"address": None}),
        (Returned, {"reason": 5}),
        (Returned, b"\xc1"),
        (Returned, {}),
    ],
)
def test_a_payload_that_does_not_fit_its_class_is_an_error_that_says_where_and_why(event_type, payload):
    name = event_type.__name__
    with pytest.raises(
        EventDecodingError, match=f"event '{name}' version 1 at position 7 of stream 's' does not fit its class: "
    ) as raised:
        EventCodec(event_type).decode(record_of(name, payload))
    assert raised.value.__cause__ is not None
    assert (raised.value.stream_id, raised.value.position, raised.value.type) == ("s", 7, name)


def test_unknown_fields_are_ignored_and_missing_ones_take_their_defaults():
    @dataclass
    class Evolved:
        sku: str
        quantity: int = 1

    assert EventCodec(Evolved).decode(record_of("Evolved", {"sku": "a", "dropped": 5})) == Evolved("a", 1)


def test_a_class_whose_fields_cannot_be_decoded_makes_reading_fail_with_the_record():
    @dataclass
    class Ambiguous:
        x: list[int] | set[int]

    with pytest.raises(TypeError, match="more than one array-like"):
        EventCodec(Ambiguous).encode(Ambiguous([1]))
    with pytest.raises(
        EventDecodingError,
        match=r"at position 7 of stream 's' has a class that none can be: .*more than one array-like",
    ):
        EventCodec(Ambiguous).decode(record_of("Ambiguous", {"x": [1]}))


@pytest.mark.parametrize("data", [{"a": 1}, [1, 2], "text", 5, None, b"bytes", {"a": {"b": [None, 1.5]}}])
def test_an_untyped_event_is_any_type_as_plain_data(data):
    codec = EventCodec(UntypedEvent)
    value = UntypedEvent("some-type", data, 4)
    assert codec.encode(value)[0] == ("some-type", 4)
    assert round_trip(codec, value) == value
    assert codec.decode(record_of("Added", {"sku": "a"})) == UntypedEvent("Added", {"sku": "a"})


@pytest.mark.parametrize("data", [{"a": (1, 2)}, {1, 2}, {"a": {"b": {3}}}, Added("a"), Enum("E", "A").A, float("nan")])
def test_untyped_data_that_would_read_back_as_something_else_is_refused(data):
    with pytest.raises(EventEncodingError, match="it would read back as"):
        EventCodec(UntypedEvent).encode(UntypedEvent("x", data))


@pytest.mark.parametrize(
    ("arguments", "error", "complaint"),
    [
        (("", {}), ValueError, "event type must not be empty"),
        (("x" * 257, {}), ValueError, "event type .* at most 256 bytes"),
        ((5, {}), TypeError, "event type must be a str, not 5"),
        (("x", {}, 0), ValueError, "schema_version must be from 1"),
        (("x", {}, True), TypeError, "schema_version must be an int, not True"),
        (("x", object()), EventEncodingError, "<object object at .*> cannot be stored: "),
        (("x", bytes(PAYLOAD_BYTES_MAX)), EventEncodingError, "it has 786437 bytes, at most 786432 are allowed"),
    ],
)
def test_an_untyped_event_with_an_illegal_part_is_refused_by_name(arguments, error, complaint):
    with pytest.raises(error, match=complaint):
        EventCodec(UntypedEvent).encode(UntypedEvent(*arguments))


@pytest.mark.parametrize("event_type", [Alias, UntypedEvent | Added])
def test_an_untyped_event_stands_alone(event_type):
    with pytest.raises(TypeError, match="UntypedEvent stands for events of every type, so it stands alone"):
        EventCodec(event_type)


def test_the_class_of_a_stored_name_is_found():
    codec = EventCodec(AnyOfThem)
    assert codec.class_of("Paid") is Paid
    assert codec.class_of("gone") is None
    assert EventCodec(UntypedEvent).class_of("Paid") is None


def test_the_names_of_a_type_are_those_of_its_classes_and_their_subclasses_now_and_formerly():
    @event("first", aliases=["one", "uno"])
    class First:
        pass

    class Second(First):
        pass

    assert stored_names(First) == {"first", "one", "uno", "Second"}
    assert stored_names(Second | Paid) == {"Second", "Paid"}
    assert list(event_classes(Nested)) == [Added, Paid, Shipped, Returned]
