"""Typed ids: made from the time, made from a name, parsed, and kept in events."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calliope import EventEncodingError, Journal
from calliope.domain import Identifier, uuid7


class OrderId(Identifier):
    prefix = "order"


class CartId(Identifier):
    prefix = "cart"


@dataclass(frozen=True)
class Placed:
    order: OrderId
    carts: tuple[CartId, ...] = ()


def test_an_id_is_the_prefix_and_a_uuid_that_begins_with_the_time():
    order_id = OrderId.new(clock=lambda: 0x017F22E279B0_000, random=lambda length: b"\xff" * length)
    assert str(OrderId.new()).startswith("order-")
    assert OrderId.new().uuid.version == 7
    assert order_id.uuid.variant == "specified in RFC 4122"


def test_the_example_of_the_rfc_is_reproduced():
    """RFC 9562, appendix A.6; the 12 bits after the time are random there and a fraction of the millisecond here."""
    random_bits = 0x18C4DC0C0C07398F & (1 << 62) - 1
    made = uuid7(lambda: 0x017F22E279B0 * 1000, lambda length: random_bits.to_bytes(length, "big"))
    expected = UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")
    assert made.int >> 80 == expected.int >> 80
    assert made.int & (1 << 64) - 1 == expected.int & (1 << 64) - 1
    assert (made.version, made.int >> 64 & 0xFFF) == (7, 0)


@given(st.integers(0, (1 << 48) * 1000 - 2), st.integers(1, 10**6), st.binary(min_size=8, max_size=8))
def test_ids_sort_by_the_microsecond_they_were_made_in(time, later, random):
    later = min(time + later, (1 << 48) * 1000 - 1)
    earlier_id = OrderId.new(lambda: time, lambda length: b"\xff" * length)
    later_id = OrderId.new(lambda: later, lambda length: random)
    assert earlier_id < later_id


def test_ids_made_at_the_same_time_differ():
    assert len({OrderId.new(lambda: 1) for _ in range(1000)}) == 1000


def test_an_id_tells_when_it_was_made():
    ticks = count(1_700_000_000_123_456)
    assert OrderId.new(lambda: next(ticks)).time == datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC)
    assert OrderId.from_name("first").time is None


def test_a_name_gives_the_same_id_for_ever_and_another_for_another_kind():
    assert OrderId.from_name("first") == OrderId("order-0cca4e9f-c0f1-54bf-a92b-1c7106b7eab9")
    assert OrderId.from_name("first").uuid.version == 5
    assert OrderId.from_name("first") != OrderId.from_name("second")
    assert OrderId.from_name("first").uuid != CartId.from_name("first").uuid
    with pytest.raises(TypeError, match="name must be a str, not 7"):
        OrderId.from_name(7)


def test_an_id_is_parsed_from_its_text():
    order_id = OrderId.new()
    assert OrderId(str(order_id)) == order_id
    assert {OrderId(str(order_id)): 1}[order_id] == 1
    assert repr(order_id) == f"OrderId('{order_id}')"
    assert f"{order_id}" == str(order_id) == order_id.value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "order",
        "order-",
        "order-17",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "cart-017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "order-017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
        "order-017f22e279b07cc398c4dc0c0c07398f",
        "order-{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
        " order-017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "order-017f22e2-79b0-7cc3-98c4-dc0c0c07398f\n",
    ],
)
def test_what_is_no_such_id_is_refused(text):
    with pytest.raises(ValueError, match="is no OrderId, which is order- and a UUID in lower case"):
        OrderId(text)


def test_an_id_is_made_from_text_and_has_a_prefix():
    with pytest.raises(TypeError, match="OrderId is made from a str, not 17"):
        OrderId(17)
    with pytest.raises(TypeError, match="Identifier has no prefix"):
        Identifier.new()


def test_ids_of_different_kinds_are_never_equal_and_do_not_compare():
    uuid = uuid7()
    assert OrderId(f"order-{uuid}") != CartId(f"cart-{uuid}")
    with pytest.raises(TypeError):
        assert OrderId(f"order-{uuid}") < CartId(f"cart-{uuid}")


@pytest.mark.anyio
async def test_an_id_is_a_field_of_events_and_names_a_stream(memory_journal: Journal):
    order_id, carts = OrderId.new(), (CartId.new(), CartId.from_name("x"))
    events = memory_journal.event_stream(str(order_id), Placed)
    await events.persist(Placed(order_id, carts))
    assert await events.query().run_collect() == [Placed(order_id, carts)]


@pytest.mark.anyio
async def test_an_id_of_another_kind_is_refused_when_the_event_is_written(memory_journal: Journal):
    events = memory_journal.event_stream("orders", Placed)
    with pytest.raises(EventEncodingError, match="is no OrderId"):
        await events.persist(Placed(CartId.new()))
    assert await events.version() == 0
