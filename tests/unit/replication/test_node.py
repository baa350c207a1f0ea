"""`Node`: opened and closed together, and what it refuses."""

import re
import socket
import ssl

import anyio
import pytest

from calliope import JournalBusyError, JournalClosedError, JournalFormatError, UntypedEvent
from calliope.limits import REQUEST_BYTES_MAX
from crdts import GCounter, ORSet
from replication import ListenError, Node, QuorumTimeoutError, outbox, wire
from replication.transports import memory
from tests.unit.replication.http_nodes import MemoryNetwork, node_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop that aiohttp runs on."""
    return "asyncio"


async def test_an_address_in_use_is_one_error_and_leaves_the_file_free(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenError, match="cannot listen on 127") as raised:
            async with Node.open(tmp_path / "a.db", replica_id="a", listen=address):
                pass
        assert raised.value.address == address
    async with Node.open(tmp_path / "a.db", replica_id="a", listen="127.0.0.1:0") as node:
        assert node.address.startswith("127.0.0.1:")


async def test_one_node_holds_a_file(tmp_path):
    async with Node.open(tmp_path / "a.db", replica_id="a"):
        with pytest.raises(JournalBusyError, match="another node runs on"):
            async with Node.open(tmp_path / "a.db", replica_id="b"):
                pass


async def test_a_file_is_held_under_all_of_its_names(tmp_path):
    (tmp_path / "link.db").symlink_to(tmp_path / "a.db")
    async with Node.open(tmp_path / "a.db", replica_id="a"):
        with pytest.raises(JournalBusyError, match="another node runs on"):
            async with Node.open(tmp_path / "link.db", replica_id="b"):
                pass


async def test_what_is_no_journal_is_one_error_and_is_left_as_it_is(tmp_path):
    (tmp_path / "a.db").write_text("notes, and no journal")
    with pytest.raises(JournalFormatError):
        async with Node.open(tmp_path / "a.db", replica_id="a"):
            pass
    assert (tmp_path / "a.db").read_text() == "notes, and no journal"


SERVER, CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

REFUSED = [
    ({"replica_id": ["a"]}, TypeError, "replica_id must be a str, not ['a']"),
    ({"replica_id": "a~b"}, ValueError, "must not contain '~'"),
    ({"peers": "127.0.0.1:1"}, TypeError, "peers must be a list of addresses, not '127.0.0.1:1'"),
    ({"peers": 5}, TypeError, "peers must be a list of addresses, not 5"),
    ({"peers": [5]}, TypeError, "address must be a str, not 5"),
    ({"peers": ["berlin"]}, ValueError, "'berlin' must be host:port"),
    ({"listen": "berlin"}, ValueError, "'berlin' must be host:port"),
    ({"listen": "0.0.0.0:0"}, ValueError, "loopback address"),
    ({"cluster": ""}, ValueError, "cluster must not be empty"),
    ({"secret": ""}, ValueError, "secret must not be empty"),
    ({"secret": 5}, TypeError, "secret must be a str, bytes or None"),
    ({"discover": True}, ValueError, "listen must be an address, not None"),
    ({"tls_server": True}, TypeError, "tls_server must be an ssl.SSLContext or None, not True"),
    ({"tls_server": CLIENT}, ValueError, "tls_server must be a context for ssl.Purpose.CLIENT_AUTH"),
    ({"tls_client": "x"}, TypeError, "tls_client must be an ssl.SSLContext or None, not 'x'"),
    ({"tls_client": SERVER}, ValueError, "tls_client must be a context for ssl.Purpose.SERVER_AUTH"),
    ({"durability": "some"}, ValueError, "durability must be"),
    ({"settings": {}}, TypeError, "settings must be Settings or None, not {}"),
]


@pytest.mark.parametrize(("arguments", "error", "reason"), REFUSED, ids=[reason for _, _, reason in REFUSED])
def test_an_argument_that_does_not_hold_is_named_and_nothing_is_opened(arguments, error, reason, tmp_path):
    with pytest.raises(error, match=re.escape(reason)):
        Node.open(tmp_path / "a.db", **{"replica_id": "a", **arguments})
    assert not list(tmp_path.iterdir())


async def test_an_error_of_the_block_leaves_a_node_as_it_is():
    with pytest.raises(LookupError, match="the block's own"):
        async with Node.open("memory://", replica_id="a"):
            raise LookupError("the block's own")


async def test_a_node_is_entered_once():
    node = Node.open("memory://", replica_id="a")
    async with node:
        pass
    with pytest.raises(JournalClosedError, match="entered once"):
        async with node:
            pass


@pytest.mark.parametrize(
    ("error", "arguments", "reason"),
    [
        (TypeError, {"peers": "127.0.0.1:7401"}, "must be a list of addresses"),
        (ValueError, {"peers": ["127.0.0.1"]}, "must be host:port"),
        (ValueError, {"discover": True}, "listen must be an address"),
        (ValueError, {"replica_id": "a~b"}, "must not contain '~'"),
        (ValueError, {"secret": ""}, "secret must not be empty"),
        (ValueError, {"listen": "0.0.0.0:0"}, "loopback"),
        (ValueError, {"durability": "some"}, "durability"),
        (ValueError, {"cluster": ""}, "cluster"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, dict) else "",
)
def test_what_does_not_hold_is_refused_before_anything_is_opened(error, arguments, reason):
    with pytest.raises(error, match=reason):
        Node.open("memory://", **{"replica_id": "a", **arguments})


async def test_a_node_alone_is_all_of_its_cluster():
    async with Node.open("memory://", replica_id="a") as node:
        assert (node.address, node.peers, node.refusals) == ("", frozenset(), 0)
        await node.replicator.update("cart", ORSet, lambda cart: cart.add("milk"), replicas="all", timeout=0.01)
        [member] = await node.members()
        assert (member.replica_id, member.state, member.lag) == ("a", "alive", 0)
        with pytest.raises(QuorumTimeoutError, match="1 of the required 2"):
            await node.replicator.update("cart", ORSet, lambda cart: cart.add("tea"), replicas=2, timeout=0.01)


async def test_a_member_that_is_away_lags_by_what_it_misses_until_it_is_back():
    async with MemoryNetwork() as network, node_of(network, "berlin") as berlin:
        async with node_of(network, "lisbon", ("berlin",)) as lisbon:
            await lisbon.replicator.update("visits", GCounter, lambda visits: visits.increment(), replicas="all")
            await lisbon.replicator.find("visits", replicas="all")
        lags = [(await berlin.members())[1].lag]
        for _ in range(3):
            await berlin.replicator.update("visits", GCounter, lambda visits: visits.increment())
            lags.append((await berlin.members())[1].lag)
        assert [lag - lags[0] for lag in lags] == [0, 1, 2, 3]
        async with node_of(network, "paris", ("berlin",)) as paris:
            found = await paris.replicator.find("visits", replicas="majority", timeout=20)
            assert found is not None
            assert found.value == 4


async def test_leaving_ends_what_waits():
    async with MemoryNetwork() as network, node_of(network, "berlin") as berlin:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(berlin.replicator.wait_until, "visits", lambda visits: visits.value > 0)
            await berlin.replicator.update("visits", GCounter, lambda visits: visits.increment())
        assert repr(berlin) == "<Node 'berlin' at berlin>"


async def test_the_largest_list_of_events_that_may_be_persisted_reaches_other_replicas():
    large = UntypedEvent("Said", {"text": "x" * 700_000})
    async with (
        MemoryNetwork() as network,
        node_of(network, "berlin") as berlin,
        node_of(network, "lisbon", ("berlin",)) as lisbon,
    ):
        here = berlin.journal.replicated_event_stream("room", UntypedEvent, replica_id="berlin")
        there = lisbon.journal.replicated_event_stream("room", UntypedEvent, replica_id="lisbon")
        await here.persist([large] * (REQUEST_BYTES_MAX // 700_100))
        await berlin.wait_until_held(2, timeout=60)
        assert await there.sequence_number() == await here.sequence_number()


async def test_what_is_too_large_for_any_peer_is_logged_and_the_node_goes_on(monkeypatch, caplog):
    monkeypatch.setattr(wire, "MESSAGE_BYTES_MAX", 100_000)
    async with (
        MemoryNetwork() as network,
        node_of(network, "berlin") as berlin,
        node_of(network, "lisbon", ("berlin",)) as lisbon,
    ):
        await lisbon.replicator.update("visits", GCounter, lambda visits: visits.increment(), replicas=2)
        large = UntypedEvent("Said", {"text": "x" * 200_000})
        await berlin.journal.replicated_event_stream("room", UntypedEvent, replica_id="berlin").persist(large)
        with anyio.fail_after(20):
            while "lisbon cannot be served: a Entries must have at most 100000 bytes" not in caplog.text:
                await anyio.lowlevel.checkpoint()
        await berlin.replicator.update("visits", GCounter, lambda visits: visits.increment())
        assert (await lisbon.replicator.get("visits", GCounter)).value == 1


async def test_a_peer_that_does_not_read_loses_its_connection_and_the_log_says_so(monkeypatch, caplog):
    monkeypatch.setattr(outbox, "OUTBOX_BYTES_MAX", 2_000)
    monkeypatch.setattr(memory, "QUEUE_MESSAGES_MAX", 1)
    async with (
        MemoryNetwork() as network,
        node_of(network, "berlin") as berlin,
        node_of(network, "lisbon", ("berlin",)) as lisbon,
    ):
        await lisbon.replicator.update("visits", GCounter, lambda visits: visits.increment(), replicas=2)
        network.cut("berlin", "lisbon", one_way=True)
        with anyio.fail_after(20):
            while not berlin.refusals:
                await berlin.replicator.update("visits", GCounter, lambda visits: visits.increment())
        assert "peer lisbon: loses its connection: it does not read what it is sent" in caplog.text
        with anyio.fail_after(20):
            while berlin.peers:
                await anyio.lowlevel.checkpoint()
        network.heal()
        token = await berlin.replicator.update("visits", GCounter, lambda visits: visits.increment())
        await lisbon.replicator.wait_until_version(token, timeout=20)


async def test_what_is_persisted_can_be_waited_for_until_so_many_replicas_hold_it():
    async with MemoryNetwork() as network, node_of(network, "berlin") as berlin:
        here = berlin.journal.replicated_event_stream("room", UntypedEvent, replica_id="berlin")
        async with node_of(network, "lisbon", ("berlin",)) as lisbon:
            there = lisbon.journal.replicated_event_stream("room", UntypedEvent, replica_id="lisbon")
            for number in range(1, 4):
                await here.persist(UntypedEvent("Said", {}))
                await berlin.wait_until_held(2, timeout=20)
                assert await there.sequence_number() == number
            await berlin.wait_until_held("all")
        await here.persist(UntypedEvent("Said", {}))
        with pytest.raises(QuorumTimeoutError) as refused:
            await berlin.wait_until_held("all", timeout=0.01)
        assert (refused.value.required, refused.value.acknowledged) == (2, ("berlin",))
        with pytest.raises(ValueError, match="replicas must be"):
            await berlin.wait_until_held(0)
        with pytest.raises(ValueError, match="timeout"):
            await berlin.wait_until_held(1, timeout=float("nan"))
        await berlin.wait_until_held(1)
