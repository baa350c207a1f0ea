"""The shop of `examples/shop` over HTTP, all parts in one process, so that time can be turned by hand."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import anyio
import pytest

from examples.shop.invoice import InvoiceCancelled, InvoiceCreated
from examples.shop.order import OrderCancelled, OrderCompleted, OrderPaid
from examples.shop.reservation import ReservationCancelled, ReservationClosed
from examples.shop.shipment import ShipmentCreated
from tests.acceptance.shop_client import NOUNS, ShopClient
from tests.acceptance.shop_in_process import PAY_WITHIN, ShopInProcess, serving_all, shop_in_process

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"  # aiohttp knows no other


@pytest.fixture(scope="module")
async def shop(tmp_path_factory):
    async with shop_in_process(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture(scope="module")
async def client(shop):
    async with serving_all(shop) as client:
        yield client


async def seen(client: ShopClient, shop: ShopInProcess, part: str, order: str, event_class: type) -> dict[str, Any]:
    """Return what a part shows of an order once something has happened."""
    answer = await client.ask(part, order, await shop.happened(part, order, event_class))
    assert answer.status == 200, answer
    content: dict[str, Any] = answer.content
    return content


async def invoiced(client: ShopClient, shop: ShopInProcess, *lines: tuple[str, str, int]) -> str:
    """Have an order confirmed, and wait for its invoice."""
    order = await client.confirmed(*lines)
    await shop.happened("invoicing", order, InvoiceCreated)
    return order


async def expired(client: ShopClient, shop: ShopInProcess) -> str:
    """Have an order confirmed, and let the time for its payment pass."""
    order = await invoiced(client, shop)
    await shop.time.let_pass(PAY_WITHIN)
    await shop.happened("headquarters", order, OrderCancelled)
    return order


async def pay(client: ShopClient, order: str, amount: str = "59.70") -> int:
    """Pay an invoice; return the position of the payment."""
    answer = await client.send("invoicing", order, "receive-payment", amount=amount)
    assert answer.status == 200, answer
    position: int = answer.content["position"]
    return position


async def test_what_is_paid_is_shipped_delivered_and_completed(client, shop):
    order = await client.confirmed(("lamp", "19.90", 3), ("chair", "49.50", 2))
    invoice = await seen(client, shop, "invoicing", order, InvoiceCreated)
    assert (invoice["status"], invoice["amount"], invoice["received"]) == ("open", "158.70", "0.00")
    assert (await client.ask("shipping", order)).status == 404

    await pay(client, order, "158.70")
    assert (await seen(client, shop, "headquarters", order, OrderPaid))["total"] == "158.70"
    reservation = await seen(client, shop, "sales", order, ReservationClosed)
    shipment = await seen(client, shop, "shipping", order, ShipmentCreated)
    assert (reservation["status"], reservation["total"]) == ("closed", "158.70")
    assert (shipment["status"], shipment["customer"], shipment["pieces"]) == ("created", "Ada", 5)

    assert (await client.send("shipping", order, "deliver-shipment")).status == 200
    assert (await seen(client, shop, "headquarters", order, OrderCompleted))["status"] == "completed"
    assert await shop.events_of("headquarters", order) == [
        "shop.order-placed",
        "shop.order-paid",
        "shop.order-completed",
    ]
    assert await shop.events_of("invoicing", order) == ["shop.invoice-created", "shop.invoice-paid"]
    assert await shop.events_of("shipping", order) == ["shop.shipment-created", "shop.shipment-delivered"]


async def test_what_is_not_paid_in_time_is_cancelled_and_not_shipped(client, shop):
    order = await expired(client, shop)
    cancelled = await seen(client, shop, "headquarters", order, OrderCancelled)
    assert (cancelled["status"], cancelled["reason"]) == ("cancelled", "not paid in time")
    assert (await seen(client, shop, "sales", order, ReservationCancelled))["status"] == "cancelled"
    assert (await seen(client, shop, "invoicing", order, InvoiceCancelled))["status"] == "cancelled"
    assert (await client.ask("shipping", order)).status == 404
    assert await shop.events_of("shipping", order) == []


async def test_nothing_is_cancelled_a_moment_before_its_deadline_nor_after_the_payment(client, shop):
    due = await invoiced(client, shop)
    await shop.time.let_pass(timedelta(microseconds=1))
    in_time = await invoiced(client, shop)
    await shop.time.let_pass(PAY_WITHIN - timedelta(microseconds=1))
    await shop.happened("headquarters", due, OrderCancelled)
    await pay(client, in_time)
    await shop.happened("headquarters", in_time, OrderPaid)
    await expired(client, shop)
    assert await shop.events_of("invoicing", in_time) == ["shop.invoice-created", "shop.invoice-paid"]
    assert (await client.ask("headquarters", in_time)).content["status"] == "paid"


async def test_a_late_payment_is_recorded_and_given_back(client, shop):
    order = await expired(client, shop)
    await pay(client, order)
    invoice = (await client.ask("invoicing", order, await pay(client, order, "0.01"))).content
    assert (invoice["status"], invoice["received"], invoice["refunded"]) == ("cancelled", "59.71", "59.71")
    late = ["shop.late-payment-received", "shop.payment-refunded"]
    assert await shop.events_of("invoicing", order) == ["shop.invoice-created", "shop.invoice-cancelled", *late, *late]
    assert (await client.ask("headquarters", order)).content["status"] == "cancelled"
    assert await shop.events_of("shipping", order) == []


async def test_a_payment_and_the_deadline_at_one_moment_come_to_one_end(client, shop):
    orders = [await invoiced(client, shop) for _ in range(10)]
    async with anyio.create_task_group() as tasks:
        for order in orders[:5]:
            tasks.start_soon(pay, client, order)
        tasks.start_soon(shop.time.let_pass, PAY_WITHIN)
        for order in orders[5:]:
            tasks.start_soon(pay, client, order)
    for order in orders:
        if await shop.events_of("invoicing", order) == ["shop.invoice-created", "shop.invoice-paid"]:
            await shop.happened("shipping", order, ShipmentCreated)
            await shop.happened("sales", order, ReservationClosed)
            continue
        assert await shop.events_of("invoicing", order) == [
            "shop.invoice-created",
            "shop.invoice-cancelled",
            "shop.late-payment-received",
            "shop.payment-refunded",
        ]
        await shop.happened("headquarters", order, OrderCancelled)
        await shop.happened("sales", order, ReservationCancelled)
        assert await shop.events_of("shipping", order) == []


async def test_the_customer_may_withdraw_until_it_is_paid(client, shop):
    order = await invoiced(client, shop)
    assert (await client.send("headquarters", order, "withdraw-order")).status == 200
    cancelled = await seen(client, shop, "headquarters", order, OrderCancelled)
    assert (cancelled["status"], cancelled["reason"]) == ("cancelled", "withdrawn by the customer")
    assert (await seen(client, shop, "sales", order, ReservationCancelled))["status"] == "cancelled"

    paid = await invoiced(client, shop)
    await pay(client, paid)
    await shop.happened("headquarters", paid, OrderPaid)
    refused = await client.send("headquarters", paid, "withdraw-order")
    assert (refused.status, refused.content) == (422, {"reasons": ["the order is paid, not placed"]})


async def test_what_is_rejected_is_answered_with_its_reasons_and_changes_nothing(client, shop):
    async def refused(part: str, order: str, command_type: str, **fields: Any) -> list[str]:
        answer = await client.send(part, order, command_type, **fields)
        assert answer.status == 422, answer
        reasons: list[str] = answer.content["reasons"]
        return reasons

    order, lamp = str(uuid4()), {"product": "lamp", "price": "19.90"}
    assert await refused("sales", order, "reserve-product", **lamp, quantity=1) == ["the reservation does not exist"]
    assert await refused("sales", order, "create-reservation", customer=" ") == [
        "customer must have 1 to 200 characters"
    ]
    assert await shop.events_of("sales", order) == []

    await client.send("sales", order, "create-reservation", customer="Ada")
    assert await refused("sales", order, "confirm-reservation") == ["nothing is reserved"]
    quantity = "quantity must be from 1 to 1000, not 0"
    assert await refused("sales", order, "reserve-product", **lamp, quantity=0) == [quantity]
    for price in ("0", "-1", "NaN", "Infinity", "19.999", "1000000.01", 1e300, "1e-300"):
        reasons = await refused("sales", order, "reserve-product", product="lamp", price=price, quantity=1)
        assert reasons[0].startswith("price must be more than 0, at most 1000000, in whole cents"), reasons
    assert await shop.events_of("sales", order) == ["shop.reservation-created"]

    order = await invoiced(client, shop)
    assert await refused("sales", order, "reserve-product", **lamp, quantity=1) == [
        "the reservation is confirmed already"
    ]
    assert await refused("invoicing", order, "receive-payment", amount="59.71") == [
        "the invoice is over 59.70, not 59.71"
    ]
    await pay(client, order)
    assert await refused("invoicing", order, "receive-payment", amount="59.70") == ["the invoice is paid already"]
    assert await refused("shipping", str(uuid4()), "deliver-shipment") == ["the shipment does not exist"]
    assert await refused("headquarters", str(uuid4()), "withdraw-order") == ["the order is unknown, not placed"]


async def test_a_command_that_comes_again_is_answered_as_before_and_carried_out_once(client, shop):
    order = str(uuid4())
    lamp = {"product": "lamp", "price": "19.90", "quantity": 2}
    await client.send("sales", order, "create-reservation", customer="Ada")
    first = await client.send("sales", order, "reserve-product", "the lamps", {"Expected-Version": "1"}, **lamp)
    await client.send("sales", order, "confirm-reservation", "that is all")
    again = await client.send("sales", order, "reserve-product", "the lamps", {"Expected-Version": "1"}, **lamp)
    confirmed = await client.send("sales", order, "confirm-reservation", "that is all")

    assert (first.status, again.status, confirmed.status) == (200, 200, 200)
    assert (first.content["events"], first.content["duplicate"]) == (["shop.product-reserved"], False)
    assert (again.content["events"], again.content["duplicate"]) == (["shop.product-reserved"], True)
    assert again.content["position"] == first.content["position"]
    assert (confirmed.content["events"], confirmed.content["duplicate"]) == (["shop.reservation-confirmed"], True)
    assert (await seen(client, shop, "invoicing", order, InvoiceCreated))["amount"] == "39.80"

    payments = []
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(send_payment, client, order, payments)
    assert [payment.status for payment in payments] == [200] * 20
    assert sorted(payment.content["duplicate"] for payment in payments) == [False] + [True] * 19
    assert await shop.events_of("invoicing", order) == ["shop.invoice-created", "shop.invoice-paid"]


async def send_payment(client: ShopClient, order: str, payments: list[Any]) -> None:
    payments.append(await client.send("invoicing", order, "receive-payment", "the payment", amount="39.80"))


async def test_what_does_not_parse_is_answered_with_400_and_changes_nothing(client, shop):
    order = str(uuid4())
    url = client.address("sales", order)
    create = {"Command-Type": "create-reservation", "Command-Id": "1"}
    for headers, body, error in (
        (create, b"{", "truncated"),
        (create, b"[]", "create-reservation is sent as an object of its fields"),
        (create, b"", "missing required field `customer`"),
        (create, b'{"customer": 5}', "Expected `str`, got `int`"),
        (create, b'{"customer": "\xff"}', "utf-8"),
        (create, b'{"customer": "Ada", "discount": 1}', "create-reservation has no discount"),
        ({"Command-Type": "create-reservation"}, b'{"customer": "Ada"}', "the header Command-Id is missing"),
        ({"Command-Id": "1"}, b'{"customer": "Ada"}', "the header Command-Type is missing"),
        ({**create, "Command-Type": "close-reservation"}, b"{}", "must be one of create-reservation, reserve-product"),
        ({**create, "Command-Id": "1" * 600}, b'{"customer": "Ada"}', "command_id"),
        ({**create, "Expected-Version": "-1"}, b'{"customer": "Ada"}', "Expected-Version must be a number, not '-1'"),
        ({**create, "Command-Type": "reserve-product"}, b'{"product": "lamp", "price": "a", "quantity": 1}', "decimal"),
        ({**create, "Command-Type": "reserve-product"}, b'{"product": "lamp", "price": 1, "quantity": 1.5}', "int"),
    ):
        answer = await client.post(url, headers, body)
        assert answer.status == 400, (headers, body, answer)
        assert error in answer.content["error"]
    for malformed in ("reservation-1", f"order-{order}", f"reservation-{order.upper()}", "%00"):
        answer = await client.post(
            f"{client.addresses['sales']}/reservations/{malformed}", create, b'{"customer": "Ada"}'
        )
        assert answer.status == 400, (malformed, answer)
    assert await shop.events_of("sales", order) == []


async def test_who_expects_another_version_is_told_so(client, shop):
    order = str(uuid4())
    await client.send("sales", order, "create-reservation", customer="Ada")
    line = {"product": "lamp", "price": "19.90", "quantity": 1}
    conflict = await client.send("sales", order, "reserve-product", headers={"Expected-Version": "0"}, **line)
    assert conflict.status == 409
    assert "1" in conflict.content["error"]
    expected = await client.send("sales", order, "reserve-product", headers={"Expected-Version": "1"}, **line)
    assert (expected.status, expected.content["version"]) == (200, 2)


async def test_what_is_not_there_is_not_found(client):
    for part in NOUNS:
        assert (await client.ask(part, str(uuid4()))).status == 404
        assert (await client.get(f"{client.addresses[part]}/nothing")).status == 404
        assert (await client.post(f"{client.addresses[part]}/openapi.json", {}, b"")).status == 405


async def test_a_view_is_as_new_as_the_position_that_is_asked_for(client, shop):
    order = str(uuid4())
    answer = await client.send("sales", order, "create-reservation", customer="Ada")
    for quantity in range(1, 11):
        answer = await client.send("sales", order, "reserve-product", product="cent", price="0.01", quantity=quantity)
        shown = await client.ask("sales", order, answer.content["position"])
        assert len(shown.content["lines"]) == quantity
    assert shown.content["total"] == "0.55"
    future = await client.ask("sales", order, 10**17)
    assert future.status == 400
    nonsense = await client.get(f"{client.address('sales', order)}?position=last")
    assert (nonsense.status, nonsense.content) == (400, {"error": "position must be a number, not 'last'"})


async def test_money_is_exact(client, shop):
    body = b'{"product": "pen", "price": 0.1, "quantity": 3}'  # a number in JSON, and none of floating point
    order = str(uuid4())
    await client.send("sales", order, "create-reservation", customer="Ada")
    headers = {"Command-Type": "reserve-product", "Command-Id": "pens"}
    assert (await client.post(client.address("sales", order), headers, body)).status == 200
    for price in ("1000000", "0.01"):
        fields = {"product": "yacht", "price": price, "quantity": 1000}
        assert (await client.send("sales", order, "reserve-product", **fields)).status == 200
    confirmed = await client.send("sales", order, "confirm-reservation")
    assert (await client.ask("sales", order, confirmed.content["position"])).content["total"] == "1000000010.30"
    assert (await seen(client, shop, "invoicing", order, InvoiceCreated))["amount"] == "1000000010.30"


async def test_lists_show_the_newest_first(client, shop):
    older, newer = await invoiced(client, shop), await invoiced(client, shop)
    position = await shop.happened("invoicing", newer, InvoiceCreated)
    for part in ("sales", "invoicing", "headquarters"):
        listed = await client.get(f"{client.addresses[part]}/{NOUNS[part]}s?position={position}")
        assert [one["id"] for one in listed.content[:2]] == [f"{NOUNS[part]}-{newer}", f"{NOUNS[part]}-{older}"]


async def test_pages_of_headquarters_may_send_commands_and_others_may_not(client):
    async with client.session.options(client.address("sales", str(uuid4()))) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == client.addresses["headquarters"]
        assert "Command-Id" in answer.headers["Access-Control-Allow-Headers"]


def references_in(document: Any) -> set[str]:
    if isinstance(document, dict):
        own = {document["$ref"]} if "$ref" in document else set()
        return own.union(*map(references_in, document.values()))
    return set().union(*map(references_in, document)) if isinstance(document, list) else set()


@pytest.mark.parametrize(
    ("part", "commands"),
    [
        ("sales", ["create-reservation", "reserve-product", "confirm-reservation"]),
        ("invoicing", ["receive-payment"]),
        ("shipping", ["deliver-shipment"]),
        ("headquarters", ["withdraw-order"]),
    ],
)
async def test_each_part_has_a_document_of_what_it_takes_and_shows(client, part, commands):
    answer = await client.get(f"{client.addresses[part]}/openapi.json")
    document, noun = answer.content, NOUNS[part]
    assert (answer.status, document["openapi"], document["info"]["title"]) == (200, "3.1.0", part.capitalize())
    assert set(document["paths"]) == {f"/{noun}s/{{id}}", f"/{noun}s"}
    one = document["paths"][f"/{noun}s/{{id}}"]
    assert set(one["post"]["responses"]) == {"200", "400", "409", "422"}
    assert {"200", "404"} <= set(one["get"]["responses"])
    headers = {parameter["name"]: parameter for parameter in one["post"]["parameters"]}
    assert headers["Command-Type"]["schema"]["enum"] == commands
    assert headers["Command-Id"]["required"]
    schemas = document["components"]["schemas"]
    assert references_in(document) <= {f"#/components/schemas/{name}" for name in schemas}
    assert {"CarriedOut", "Refused", "Failed"} < set(schemas)
