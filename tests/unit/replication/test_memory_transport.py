import anyio
import pytest

from replication.errors import ConnectionLostError, ListenError, PeerRefusedError
from replication.transports.memory import QUEUE_MESSAGES_MAX, MemoryConnection, MemoryNetwork
from replication.transports.protocol import Connection

pytestmark = pytest.mark.anyio


class Accepting:
    """Keeps the connections that others made, open until the test ends."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.came = anyio.Event()

    async def __call__(self, connection: Connection) -> None:
        self.connections.append(connection)
        self.came.set()
        await anyio.sleep_forever()


async def two_ends(network: MemoryNetwork) -> tuple[MemoryConnection, Connection]:
    accepting = Accepting()
    berlin, paris = network.transport("berlin", address="a"), network.transport("paris", address="b")
    await berlin.start(Accepting())
    await paris.start(accepting)
    near = await berlin.connect("b")
    await accepting.came.wait()
    return near, accepting.connections[0]


@pytest.fixture
async def network():
    async with MemoryNetwork() as network:
        yield network


async def test_messages_arrive_in_order_and_both_ends_know_the_other(network):
    near, far = await two_ends(network)
    for number in range(10):
        await near.send(b"%d" % number)
    await far.send(b"back")
    assert [await far.receive() for _ in range(10)] == [b"%d" % number for number in range(10)]
    assert await near.receive() == b"back"
    assert (near.replica_id, near.peer_address) == ("paris", "b")
    assert (far.replica_id, far.peer_address) == ("berlin", "a")


async def test_a_sender_waits_while_the_peer_does_not_read(network):
    near, far = await two_ends(network)
    for _ in range(QUEUE_MESSAGES_MAX):
        await near.send(b"x")
    async with anyio.create_task_group() as group:
        group.start_soon(near.send, b"last")
        await anyio.wait_all_tasks_blocked()
        assert len(far.arrived) == QUEUE_MESSAGES_MAX
        await far.receive()
    assert [await far.receive() for _ in range(QUEUE_MESSAGES_MAX)][-1] == b"last"


async def test_what_was_sent_before_the_end_is_read_before_it(network):
    near, far = await two_ends(network)
    await near.send(b"last words")
    await near.aclose("enough")
    await near.aclose()
    assert await far.receive() == b"last words"
    with pytest.raises(ConnectionLostError, match="the peer closed the connection: enough"):
        await far.receive()
    with pytest.raises(ConnectionLostError):
        await far.send(b"too late")
    with pytest.raises(ConnectionLostError, match="closed here: enough"):
        await near.receive()


async def test_a_reader_that_waits_learns_that_the_link_was_cut(network):
    near, far = await two_ends(network)
    async with anyio.create_task_group() as group:
        for end in (near, far):
            group.start_soon(reads_until_cut, end)
        await anyio.wait_all_tasks_blocked()
        network.cut("a", "b")


async def reads_until_cut(end: Connection) -> None:
    with pytest.raises(ConnectionLostError, match="the link was cut"):
        await end.receive()


async def test_nobody_gets_through_a_cut_link_until_it_is_healed(network):
    await two_ends(network)
    network.cut("a", "b")
    berlin = network.transport("rome", address="a")
    with pytest.raises(ConnectionLostError, match="nobody answered at b"):
        await berlin.connect("b")
    network.heal()
    assert (await berlin.connect("b")).replica_id == "paris"


async def test_a_link_cut_one_way_holds_back_what_is_sent_that_way(network):
    near, far = await two_ends(network)
    network.cut("a", "b", one_way=True)
    await near.send(b"held back")
    await far.send(b"through")
    assert await near.receive() == b"through"
    with anyio.move_on_after(0), pytest.raises(TimeoutError), anyio.fail_after(0):
        await far.receive()
    network.heal()
    assert await far.receive() == b"held back"


async def test_a_peer_of_another_cluster_or_with_our_id_is_refused(network):
    await two_ends(network)
    for replica_id, cluster, reason in (("rome", "other", "clusters differ"), ("paris", "test", "two replicas")):
        with pytest.raises(PeerRefusedError, match=reason) as refused:
            await network.transport(replica_id, address="c", cluster=cluster).connect("b")
        assert not refused.value.is_ourselves


async def test_a_replica_that_dials_itself_is_told_so(network):
    rome = network.transport("rome", address="c")
    await rome.start(Accepting())
    with pytest.raises(PeerRefusedError) as refused:
        await rome.connect("c")
    assert refused.value.is_ourselves


async def test_one_address_is_listened_on_once_and_free_again_after_closing(network):
    rome, oslo = network.transport("rome", address="c"), network.transport("oslo", address="c")
    await rome.start(Accepting())
    with pytest.raises(ListenError, match="cannot listen on c"):
        await oslo.start(Accepting())
    await rome.aclose()
    await oslo.start(Accepting())
    assert oslo.address == "c"
    with pytest.raises(ConnectionLostError, match="the transport is closed"):
        await rome.connect("c")


async def test_closing_a_transport_ends_its_connections(network):
    near, far = await two_ends(network)
    await near.owner.aclose()
    with pytest.raises(ConnectionLostError, match="the peer closed"):
        await far.receive()
