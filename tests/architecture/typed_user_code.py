"""What a user writes, after the examples of the public surface; `test_typing` runs mypy --strict over it."""

from dataclasses import dataclass

from calliope import (
    EventStream,
    Journal,
    PersistReply,
    RecordedEvent,
    Sink,
    Snapshot,
    Source,
    UntypedEvent,
    caused_by,
    event,
    upcast,
    with_metadata,
)


@dataclass(frozen=True, slots=True)
class ItemAdded:
    sku: str
    quantity: int


@event("order-paid", version=2)
@dataclass(frozen=True, slots=True)
class Paid:
    amount: int = 0


@upcast(Paid, from_version=1)
def amount_was_text(payload: dict[str, object]) -> dict[str, object]:
    return {**payload, "amount": 0}


OrderEvent = ItemAdded | Paid


@dataclass(frozen=True)
class Order:
    items: int = 0


def evolve(order: Order, happened: OrderEvent) -> Order:
    return Order(order.items + happened.quantity) if isinstance(happened, ItemAdded) else order


async def use(journal: Journal) -> None:
    events: EventStream[ItemAdded | Paid] = journal.event_stream("order-17", OrderEvent)
    state: Order = await events.query().run_fold(Order(), evolve)
    reply: PersistReply[ItemAdded | Paid] = await events.persist(ItemAdded("sku-1", 2))
    await events.persist([ItemAdded("sku-1", 2), Paid()], expected_version=reply.sequence_number, tags=["new"])
    async for happened in events.live_query():
        state = evolve(state, happened)
    async with events.live_query().running(Sink.for_each(print)):
        pass
    records: Source[RecordedEvent[ItemAdded | Paid]] = events.records(after=1, until=3)
    async for record in records:
        with caused_by(record), with_metadata(tenant=7):
            await events.persist(Paid(), metadata={"a": 1}, event_id=record.id)
    across: Source[RecordedEvent[UntypedEvent]] = journal.records(types=[Paid, "x"], event_type=UntypedEvent)
    await across.run_drain()
    await journal.snapshots.save_snapshot("order-17", state, sequence_number=3)
    snapshot: Snapshot[Order] | None = await journal.snapshots.load_snapshot("order-17", Order)
    if snapshot is not None:
        state = snapshot.state
