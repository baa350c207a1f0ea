"""What waits to be sent on one connection: bounded, in order, however large a single message is."""

import anyio
import pytest

from calliope.stores.versioned import LogEntry
from replication import outbox as outboxes
from replication.core.messages import Entries, Heartbeat
from replication.errors import ConnectionLostError
from replication.outbox import OUTBOX_BYTES_MAX, SMALL_MESSAGE_BYTES, Outbox

pytestmark = pytest.mark.anyio


def of_size(size: int) -> Entries:
    return Entries((LogEntry("berlin~1", 1, "events", 0, bytes(size)),))


async def test_messages_are_handed_out_in_order():
    outbox = Outbox()
    for number in range(3):
        assert outbox.put(Heartbeat(number))
    assert [await outbox.next() for _ in range(3)] == [Heartbeat(0), Heartbeat(1), Heartbeat(2)]


async def test_a_message_that_is_larger_than_all_that_may_wait_is_taken_and_then_no_more():
    outbox = Outbox()
    assert outbox.put(of_size(2 * OUTBOX_BYTES_MAX))
    assert not outbox.put(Heartbeat(1))
    await outbox.next()
    assert outbox.put(Heartbeat(2))
    assert await outbox.next() == Heartbeat(2)


async def test_small_messages_are_bounded_too(monkeypatch):
    monkeypatch.setattr(outboxes, "OUTBOX_BYTES_MAX", 10_000)
    outbox = Outbox()
    count = 0
    while outbox.put(Heartbeat(count)):
        count += 1
    assert count <= 10_000 // SMALL_MESSAGE_BYTES + 1


async def test_closing_wakes_who_waits_and_says_why():
    outbox = Outbox()
    reasons: list[str] = []

    async def wait() -> None:
        try:
            await outbox.next()
        except ConnectionLostError as error:
            reasons.append(str(error))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        outbox.close("enough")
    assert reasons == ["enough"]
    with pytest.raises(ConnectionLostError, match="enough"):
        await outbox.next()
