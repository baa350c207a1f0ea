from random import Random

import anyio
import pytest

from replication.errors import MalformedMessageError
from replication.transports.framing import FRAME_BYTES_MAX, Reassembly, framed
from replication.transports.room import Room
from replication.wire import MESSAGE_BYTES_MAX


def reassembled(payloads: list[bytes]) -> list[bytes]:
    reassembly = Reassembly()
    for payload in payloads:
        reassembly.feed(payload)
    assert reassembly.begun_bytes == 0
    return list(reassembly.ready)


def test_many_small_messages_share_a_frame():
    messages = [b"%d" % number for number in range(1000)]
    payloads = list(framed(messages, FRAME_BYTES_MAX))
    assert len(payloads) == 1
    assert reassembled(payloads) == messages


def test_a_large_message_takes_several_frames_of_bounded_size():
    message = Random(1).randbytes(10 * FRAME_BYTES_MAX)
    payloads = list(framed([message], FRAME_BYTES_MAX))
    assert {len(payload) for payload in payloads[:-1]} == {FRAME_BYTES_MAX}
    assert len(payloads) == 11
    assert reassembled(payloads) == [message]


@pytest.mark.parametrize("seed", range(20))
def test_messages_of_any_size_arrive_as_they_were_whatever_the_frames(seed):
    random = Random(seed)
    messages = [random.randbytes(random.choice([0, 1, 3, 4, 5, 60, 64, 300])) for _ in range(50)]
    payloads = list(framed(messages, random.choice([1, 3, 5, 64, 1000])))
    assert reassembled(payloads) == messages


def test_nothing_to_send_makes_no_frame_and_an_empty_frame_no_message():
    assert list(framed([], FRAME_BYTES_MAX)) == []
    assert reassembled([b""]) == []
    assert reassembled(list(framed([b""], FRAME_BYTES_MAX))) == [b""]


def test_an_oversized_message_is_refused_when_it_is_announced():
    reassembly = Reassembly()
    with pytest.raises(MalformedMessageError, match="more than 100663296"):
        reassembly.feed((MESSAGE_BYTES_MAX + 1).to_bytes(4, "big"))


def test_it_is_known_how_long_a_message_is_that_has_begun():
    reassembly = Reassembly()
    reassembly.feed(b"\x00\x01\x00")
    assert reassembly.begun_bytes == 0
    reassembly.feed(b"\x00abc")
    assert reassembly.begun_bytes == 65536
    assert not reassembly.ready


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_who_needs_memory_waits_until_there_is_enough_or_it_is_of_no_use():
    room = Room(10)
    assert await room.take(7, lambda: False)
    outcomes: list[bool] = []
    over = False

    async def needs(size_bytes: int) -> None:
        outcomes.append(await room.take(size_bytes, lambda: over))

    async with anyio.create_task_group() as group:
        group.start_soon(needs, 4)
        await anyio.wait_all_tasks_blocked()
        assert outcomes == []
        room.give_back(7)
        await anyio.wait_all_tasks_blocked()
        assert outcomes == [True]
        group.start_soon(needs, 10)
        await anyio.wait_all_tasks_blocked()
        over = True
        room.give_back(0)
    assert outcomes == [True, False]
