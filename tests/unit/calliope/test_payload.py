"""Fields of every type in every kind of class, and what is refused because it would not read back."""

import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import cached_property
from typing import Any, Generic, Literal, NamedTuple, Optional, TypeVar
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from pydantic.dataclasses import dataclass as pydantic_dataclass

from calliope.errors import EventEncodingError
from calliope.limits import PAYLOAD_BYTES_MAX
from calliope.payload import checked_encoder, current_decoder

T = TypeVar("T")


def type_name(value):
    """Names a parameter alike in every process, whatever the order of its sets."""
    return getattr(value, "__name__", type(value).__name__)


class Colour(Enum):
    RED = "r"


class Size(IntEnum):
    LARGE = 3


class Mood(StrEnum):
    HAPPY = "h"


class Point(NamedTuple):
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Inner:
    n: int = 0


FIELDS: list[tuple[Any, Any]] = [
    (int, -(2**63)),
    (int, 2**64 - 1),
    (float, 1.5),
    (float, float("inf")),
    (bool, True),
    (str, "\u0000 ü \U0001f600"),
    (bytes, b"\x00\xff"),
    (Optional[int], None),  # noqa: UP045 - the older spelling
    (int | None, 5),
    (datetime, datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)),
    (datetime, datetime(1, 1, 1, tzinfo=UTC)),
    (datetime, datetime(2024, 2, 29, 12, 30, 15, 1, tzinfo=timezone(timedelta(hours=-5)))),
    (datetime, datetime(2024, 2, 29, 12, 30, 15, 1)),
    (date, date(2024, 2, 29)),
    (time, time(12, 30, 15, 1)),
    (timedelta, timedelta(days=-3, microseconds=1)),
    (UUID, UUID(int=5)),
    (Decimal, Decimal("1.10")),
    (Colour, Colour.RED),
    (Size, Size.LARGE),
    (Mood, Mood.HAPPY),
    (Literal["a", "b"], "b"),
    (list[int], [1, 2]),
    (tuple[int, ...], (1, 2)),
    (tuple[int, str], (1, "a")),
    (set[str], {"a", "b"}),
    (frozenset[UUID], frozenset({UUID(int=1), UUID(int=2)})),
    (dict[str, int], {"a": 1}),
    (dict[int, list[Decimal]], {1: [Decimal(1)]}),
    (dict[UUID, Colour], {UUID(int=1): Colour.RED}),
    (Sequence[int], [1, 2]),
    (Any, {"a": [1, None, "x", {"b": 2.5}]}),
]


def round_trip(value: Any) -> Any:
    payload = checked_encoder(type(value), PAYLOAD_BYTES_MAX)(value)
    return current_decoder(type(value)).one(payload)


@pytest.mark.parametrize(("field_type", "value"), FIELDS, ids=type_name)
@pytest.mark.parametrize("kind", ["dataclass", "slotted", "struct", "attrs", "pydantic"])
def test_a_field_of_any_type_reads_back(kind, field_type, value):
    namespace = {"__annotations__": {"x": field_type}, "__module__": __name__}
    event_class = {
        "dataclass": lambda: dataclass(type("Event", (), namespace)),
        "slotted": lambda: dataclass(frozen=True, slots=True)(type("Event", (), namespace)),
        "struct": lambda: msgspec.defstruct("Event", [("x", field_type)]),
        "attrs": lambda: attrs.define(type("Event", (), namespace)),
        "pydantic": lambda: pydantic.create_model("Event", x=field_type),
    }[kind]()
    value = event_class(x=value)
    assert round_trip(value) == value
    assert type(round_trip(value).x) is type(value.x)


@dataclass
class Everything:
    inner: Inner
    inners: list[Inner]
    by_name: dict[str, Inner]
    maybe: Inner | None
    point: Point
    later: "Everything | None" = None


def test_objects_in_objects_read_back():
    value = Everything(Inner(1), [Inner(2), Inner(3)], {"a": Inner(4)}, None, Point(1, 2))
    value = Everything(Inner(1), [], {}, Inner(5), Point(3, 4), later=value)
    assert round_trip(value) == value


class Tagged(msgspec.Struct, tag="t", frozen=True):
    x: int


class InArray(msgspec.Struct, array_like=True, frozen=True):
    x: int
    y: int


@pydantic_dataclass
class PydanticDataclass:
    x: int


@dataclass
class Box(Generic[T]):
    content: T


@attrs.frozen
class Frozen:
    x: int
    y: list[int] = attrs.field(factory=list)


@dataclass
class Derived:
    x: int
    y: int = field(init=False, default=0)

    def __post_init__(self):
        self.y = self.x + 1


@dataclass
class Caching:
    x: int

    @cached_property
    def double(self) -> int:
        return 2 * self.x


@dataclass
class WithPrivateField:
    x: int
    _hidden: int = 0


@pytest.mark.parametrize(
    "value",
    [
        Tagged(1),
        InArray(1, 2),
        PydanticDataclass(1),
        Box({"a": [1]}),
        Frozen(1, [2]),
        Derived(4),
        WithPrivateField(1, 2),
    ],
)
def test_classes_of_many_shapes_read_back(value):
    assert round_trip(value) == value


def test_a_bytearray_reads_back():
    @dataclass
    class Buffer:
        content: bytearray

    assert round_trip(Buffer(bytearray(b"\x00\xff"))) == Buffer(bytearray(b"\x00\xff"))


def test_what_an_object_has_cached_is_not_stored():
    value = Caching(2)
    assert value.double == 4
    assert vars(round_trip(value)) == {"x": 2}


class Address(pydantic.BaseModel):
    street: str = pydantic.Field(alias="streetName")


class Customer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid", frozen=True)

    id: UUID
    born: datetime
    address: Address
    balance: Decimal = Decimal("0.00")
    picture: bytes = b"\xff"
    tags: frozenset[str] = frozenset({"a", "b"})
    colour: Colour = Colour.RED
    _cached: int = pydantic.PrivateAttr(default=0)

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def label(self) -> str:
        return f"{self.id} {self.address.street}"


class Numbers(pydantic.RootModel[list[int]]):
    pass


def test_pydantic_models_read_back_when_nested_strict_aliased_and_computed():
    value = Customer(id=UUID(int=1), born=datetime(2000, 1, 1, 1, 2, 3, 4), address=Address(streetName="x"))
    assert round_trip(value) == value
    assert round_trip(Numbers([1, 2])) == Numbers([1, 2])


def test_a_private_attribute_of_a_pydantic_model_is_its_own_business():
    value = Customer(id=UUID(int=1), born=datetime(2000, 1, 1), address=Address(streetName="x"))
    value._cached = 5
    assert round_trip(value).id == value.id


@pytest.mark.parametrize(
    ("field_type", "value"),
    [
        (int, "1"),
        (int, 1.5),
        (int, True),
        (int, None),
        (int, 2**64),
        (float, "1.5"),
        (str, 5),
        (str, "\ud800"),
        (bytes, 5),
        (bool, 1),
        (datetime, "yesterday"),
        (UUID, "no uuid"),
        (Decimal, "no number"),
        (Colour, "g"),
        (Literal["a"], "b"),
        (list[int], ["a"]),
        (dict[str, int], {"a": "b"}),
        (tuple[int, int], (1, 2, 3)),
        (Inner, {"n": "x"}),
        (Any, object),
        (Any, 1j),
    ],
    ids=type_name,
)
@pytest.mark.parametrize("kind", ["dataclass", "struct", "attrs"])
def test_a_field_that_does_not_have_its_type_is_refused_when_it_is_written(kind, field_type, value):
    namespace = {"__annotations__": {"x": field_type}, "__module__": __name__}
    event_class = {
        "dataclass": lambda: dataclass(type("Event", (), namespace)),
        "struct": lambda: msgspec.defstruct("Event", [("x", field_type)]),
        "attrs": lambda: attrs.define(type("Event", (), namespace)),
    }[kind]()
    with pytest.raises(EventEncodingError, match="cannot be stored") as raised:
        round_trip(event_class(x=value))
    assert raised.value.event.x is value


@pytest.mark.filterwarnings("error")
def test_a_pydantic_model_made_without_validation_is_validated_when_it_is_written():
    with pytest.raises(EventEncodingError, match="Input should be a valid UUID"):
        round_trip(Customer.model_construct(id="no uuid"))


class Animal(pydantic.BaseModel):
    name: str


class Dog(Animal):
    breed: str


class Kennel(pydantic.BaseModel):
    animal: Animal


@dataclass(frozen=True)
class InnerAndMore(Inner):
    more: int = 5


@dataclass
class Holder:
    inner: Inner


@attrs.define
class WithPrivateAttribute:
    x: int
    _hidden: int = 0


@pytest.mark.parametrize(
    ("value", "reads_as"),
    [
        (Holder(InnerAndMore(1)), "Holder(inner=Inner(n=1))"),
        (Kennel(animal=Dog(name="Rex", breed="Collie")), "Kennel(animal=Animal(name='Rex'))"),
        (WithPrivateAttribute(1, hidden=5), "WithPrivateAttribute(x=1, _hidden=0)"),
    ],
)
def test_an_object_that_would_read_back_as_another_is_refused(value, reads_as):
    with pytest.raises(EventEncodingError) as raised:
        round_trip(value)
    assert raised.value.reason == f"it would read back as {reads_as}"


class Identical(msgspec.Struct, eq=False):
    tags: set[str]


@dataclass
class Several:
    items: Sequence[int]


def test_an_object_that_loses_nothing_is_stored_though_it_does_not_equal_what_is_read():
    assert round_trip(Identical({"a", "b", "c", "d"})).tags == {"a", "b", "c", "d"}
    assert round_trip(Several((1, 2))).items == [1, 2]
    assert str(round_trip(Box(float("nan"))).content) == "nan"


def test_an_object_may_be_as_large_as_the_limit():
    encode = checked_encoder(Box, 100)
    longest = 100 - len(encode(Box("")))
    encode(Box("x" * (longest - 1)))
    with pytest.raises(EventEncodingError, match=r"it has 10[12] bytes, at most 100 are allowed"):
        encode(Box("x" * (longest + 1)))


def test_an_object_that_contains_itself_is_refused():
    value = Box(None)
    value.content = value  # type: ignore[assignment]
    with pytest.raises(EventEncodingError, match="recursion"):
        round_trip(value)


def test_a_refused_object_is_not_kept_alive():
    value = Box(object())
    references = sys.getrefcount(value)
    with pytest.raises(EventEncodingError):
        round_trip(value)
    gc.collect()
    assert sys.getrefcount(value) == references


class Unencodable:
    def __init__(self) -> None:
        self.x = 1


def test_a_class_without_fields_that_say_what_they_are_is_refused():
    with pytest.raises(EventEncodingError, match="Encoding objects of type Unencodable is unsupported"):
        round_trip(Unencodable())
