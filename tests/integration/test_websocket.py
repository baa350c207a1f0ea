import asyncio
import socket
from contextlib import suppress

import aiohttp
import pytest

from replication.errors import ConnectionLostError, ListenError, PeerRefusedError
from replication.transports.framing import FRAME_BYTES_MAX
from replication.transports.protocol import Connection
from replication.transports.strangers import STRANGERS_MAX
from replication.transports.websocket import PATH
from tests.integration.websocket_ends import dialling, listening, transport

SECRET = "Schlüssel"
within = asyncio.timeout


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("secret", [None, SECRET])
async def test_messages_of_all_sizes_arrive_in_order_both_ways(secret):
    async with listening(secret=secret) as berlin, dialling(secret=secret, listen="127.0.0.1:0") as paris, within(20):
        await paris.start(berlin.accept)
        connection = await paris.connect(berlin.transport.address)
        messages = [b"", b"x", b"y" * FRAME_BYTES_MAX, b"z" * (20 * FRAME_BYTES_MAX), *(b"%d" % n for n in range(5000))]
        for message in messages:
            await connection.send(message)
        assert [await berlin.arrived.get() for _ in messages] == messages
        far = berlin.connections[0]
        assert (connection.replica_id, connection.peer_address) == ("berlin", berlin.transport.address)
        assert (far.replica_id, far.peer_address) == ("paris", paris.address)
        await far.send(b"back")
        assert await connection.receive() == b"back"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"secret": None}, "only one of the two has a secret"),
        ({"secret": "wrong"}, "the secrets differ"),
        ({"secret": SECRET, "cluster": "office"}, "the clusters differ"),
        ({"secret": SECRET, "replica_id": "berlin"}, "two replicas have the id 'berlin'"),
    ],
    ids=["no key", "wrong key", "another cluster", "our id"],
)
async def test_who_does_not_fit_is_refused_on_both_sides_and_served_nothing(arguments, reason, caplog):
    async with listening(secret=SECRET) as berlin, dialling(**arguments) as stranger, within(10):
        for _ in range(3):
            with pytest.raises(PeerRefusedError, match=reason):
                await stranger.connect(berlin.transport.address)
        assert berlin.connections == []
        assert berlin.transport.complaints.count == 3
        assert len([record for record in caplog.records if reason in record.message]) == 2  # one a side, not one a try


async def test_a_replica_that_dials_itself_is_told_so_and_nobody_complains(caplog):
    async with listening(secret=SECRET) as berlin, within(10):
        with pytest.raises(PeerRefusedError) as refused:
            await berlin.transport.connect(berlin.transport.address)
        assert refused.value.is_ourselves
    assert caplog.records == []


async def test_nobody_at_an_address_is_a_lost_connection():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with dialling() as paris, within(5):
            with pytest.raises(ConnectionLostError, match="cannot be connected to"):
                await paris.connect(f"127.0.0.1:{taken.getsockname()[1]}")


async def test_who_answers_but_never_greets_is_given_up():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server, dialling() as paris, within(5):
        with pytest.raises(ConnectionLostError, match="nobody answered"):
            await paris.connect(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "10.0.0.1:7401", "[::]:0", "example.org:7401"])
def test_without_secret_and_tls_only_the_loopback_interface_is_listened_on(listen):
    with pytest.raises(ValueError, match="listen must be a loopback address"):
        transport("berlin", listen=listen)
    transport("berlin", listen=listen, secret=SECRET)


async def test_without_secret_and_tls_only_loopback_addresses_are_connected_to():
    async with dialling() as paris:
        with pytest.raises(PeerRefusedError, match="without a secret or TLS"):
            await paris.connect("192.0.2.1:7401")


async def test_an_address_in_use_cannot_be_listened_on():
    async with listening() as berlin:
        rome = transport("rome", listen=berlin.transport.address)
        with pytest.raises(ListenError, match=f"cannot listen on {berlin.transport.address}"):
            await rome.start(berlin.accept)
        await rome.aclose()


async def test_who_listens_on_all_interfaces_is_reached_where_it_came_from():
    async with listening(secret=SECRET) as berlin, dialling(secret=SECRET, listen="0.0.0.0:0") as paris, within(5):
        await paris.start(berlin.accept)
        connection = await paris.connect(berlin.transport.address)
        await connection.send(b"x")
        await berlin.arrived.get()
        assert berlin.connections[0].peer_address == paris.address.replace("0.0.0.0", "127.0.0.1")


async def test_a_closed_connection_says_why_at_the_other_end():
    async with listening() as berlin, dialling() as paris, within(5):
        connection = await paris.connect(berlin.transport.address)
        await connection.aclose("löst sich auf" + "…" * 100)
        await connection.aclose()
        await berlin.has_ended.wait()
        assert "löst sich auf…" in berlin.ended[0]
        for use in (connection.send(b"x"), connection.receive()):
            with pytest.raises(ConnectionLostError, match="closed here"):
                await use


async def test_closing_wakes_who_waits_and_is_prompt():
    async with listening() as berlin, within(5):
        paris = transport("paris")
        connection = await paris.connect(berlin.transport.address)
        reading = asyncio.create_task(connection.receive())
        await asyncio.sleep(0.05)
        await paris.aclose()
        with pytest.raises(ConnectionLostError):
            await reading
        await berlin.has_ended.wait()


async def test_a_silent_connection_stays_while_the_other_end_is_alive():
    async with listening() as berlin, dialling() as paris, within(5):
        connection = await paris.connect(berlin.transport.address)
        reading = asyncio.create_task(connection.receive())
        await asyncio.sleep(1.0)  # more than twice the silence that is borne
        await berlin.connections[0].send(b"still here")
        assert await reading == b"still here"
        assert berlin.ended == []


async def test_a_peer_that_is_silent_is_given_up():
    async with listening() as berlin, dialling() as paris, within(5):
        connection = await paris.connect(berlin.transport.address)
        connection._keeper.cancel()  # paris says nothing any more, as if its machine had gone
        await berlin.has_ended.wait()
        assert "paris was silent for 0.4 s" in berlin.ended[0]


async def test_a_sender_waits_for_a_peer_that_does_not_read_and_gives_up_in_time():
    async with listening(reads=False) as berlin, dialling() as paris, within(20):
        connection = await paris.connect(berlin.transport.address)
        handed_over: list[None] = []
        with pytest.raises(ConnectionLostError, match=r"has not read for 0\.5 s"):
            await send_for_ever(connection, handed_over)
        assert len(handed_over) < 100  # what the sockets, the frame under way and the queue hold


async def send_for_ever(connection: Connection, handed_over: list[None]) -> None:
    while True:
        await connection.send(bytes(FRAME_BYTES_MAX))
        handed_over.append(None)


async def test_a_sender_that_is_cancelled_leaves_the_connection_whole():
    async with listening(reads=False) as berlin, dialling() as paris, within(20):
        connection = await paris.connect(berlin.transport.address)
        sending = [asyncio.create_task(connection.send(bytes(FRAME_BYTES_MAX))) for _ in range(100)]
        await asyncio.sleep(0.05)
        for task in sending:
            task.cancel()
        done = await asyncio.gather(*sending, return_exceptions=True)
        whole = sum(1 for result in done if result is None)
        assert 0 < whole < 100
        far = berlin.connections[0]
        assert [len(await far.receive()) for _ in range(whole)] == [FRAME_BYTES_MAX] * whole


async def test_browsers_and_other_paths_are_refused():
    async with listening() as berlin, aiohttp.ClientSession() as browser, within(5):
        url = f"http://{berlin.transport.address}"
        for path, headers in ((PATH, {"Origin": "https://evil.example"}), ("/", {})):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await browser.ws_connect(url + path, headers=headers)
            assert refused.value.status == 403
        async with browser.get(url + PATH) as answer:
            assert answer.status == 400


@pytest.mark.parametrize("garbage", [b"\x00" * 100, b"GET / HTTP/1.1\r\n", b"\x91" * 1000, b"x" * 4000])
async def test_who_greets_with_garbage_is_dropped(garbage):
    async with listening(secret=SECRET) as berlin, aiohttp.ClientSession() as stranger, within(5):
        greeting = await stranger.ws_connect(f"http://{berlin.transport.address}{PATH}")
        await greeting.send_bytes(garbage)
        assert (await greeting.receive()).type is aiohttp.WSMsgType.CLOSE
        assert berlin.connections == []
        assert berlin.transport.complaints.count == 1


@pytest.mark.parametrize("secret", [None, SECRET])
async def test_garbage_after_the_greeting_ends_the_connection(secret):
    async with listening(secret=secret) as berlin, dialling(secret=secret) as paris, within(5):
        connection = await paris.connect(berlin.transport.address)
        await connection._socket.send_bytes(b"\xff" * 1000)  # neither sealed nor of a legal length
        await berlin.has_ended.wait()
        assert "the peer broke the protocol" in berlin.ended[0]


async def test_a_frame_that_is_too_large_ends_the_connection():
    async with listening() as berlin, dialling() as paris, within(5):
        connection = await paris.connect(berlin.transport.address)
        await connection._socket.send_bytes(bytes(FRAME_BYTES_MAX + 1))
        await berlin.has_ended.wait()


async def test_a_message_that_never_becomes_whole_ends_the_connection():
    async with listening() as berlin, dialling() as paris, within(5):
        connection = await paris.connect(berlin.transport.address)
        await connection._socket.send_bytes((50_000_000).to_bytes(4, "big"))
        await berlin.has_ended.wait()
        assert "took over 1.0 s for one message" in berlin.ended[0]


async def test_idle_connections_are_bounded_and_do_not_keep_out_a_peer():
    async with listening(secret=SECRET) as berlin, dialling(secret=SECRET) as paris, within(20):
        host, port = berlin.transport.address.split(":")
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(1000)]
        assert len(berlin.transport._strangers) <= STRANGERS_MAX
        connection = await paris.connect(berlin.transport.address)
        await connection.send(b"served")
        assert await berlin.arrived.get() == b"served"
        for reader, writer in idle:
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
        assert len(berlin.transport._strangers) == 0


async def test_a_byte_a_second_is_too_slow_to_stay():
    async with listening(secret=SECRET) as berlin, within(5):
        host, port = berlin.transport.address.split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await trickle(writer)
        writer.close()


async def trickle(writer: asyncio.StreamWriter) -> None:
    for byte in b"GET /calliope HTTP/1.1" * 10:
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(0.05)
