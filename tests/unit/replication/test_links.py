import logging
from contextlib import asynccontextmanager

import anyio
import pytest

from calliope.flow import Backoff
from calliope.testing import ManualClock
from replication.errors import PeerError
from replication.links import ADDRESSES_MAX, SIMULTANEOUS_SECONDS, Links
from replication.transports.memory import MemoryNetwork
from replication.transports.protocol import Connection

pytestmark = pytest.mark.anyio

STEADY = Backoff(first_seconds=1.0, longest_seconds=60.0, jitter=0.0)


class Peer:
    """A replica with links, that says who is connected.

    Attributes:
        ends: who serves a connection that is over waits for it.
    """

    def __init__(
        self, network: MemoryNetwork, clock: ManualClock, replica_id: str, address: str, *dialled: str, **more
    ):
        self.history: list[str] = []
        self.at_once = self.most_at_once = 0
        self.ends = anyio.Event()
        self.ends.set()
        self.transport = network.transport(replica_id, address=address, **more)
        self.links = Links(
            self.transport,
            replica_id,
            self.serve,
            addresses=dialled,
            dialling=STEADY,
            refused=Backoff(first_seconds=30.0, longest_seconds=30.0, jitter=0.0),
            clock=clock,
            random=lambda: 0.0,
        )

    async def serve(self, connection: Connection) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.history.append(f"+{connection.replica_id}")
        try:
            while True:
                await connection.receive()
        finally:
            with anyio.CancelScope(shield=True):
                await self.ends.wait()
            self.history.append(f"-{connection.replica_id}")
            self.at_once -= 1

    @property
    def connected(self) -> list[str]:
        return sorted(self.links.connections)


@asynccontextmanager
async def running(clock: ManualClock, *peers: Peer):
    async with anyio.create_task_group() as group:
        for peer in peers:
            await group.start(peer.links.run)
        await clock.advance(0)
        yield group
        group.cancel_scope.cancel()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def network():
    async with MemoryNetwork() as network:
        yield network


async def test_a_configured_address_is_dialled_and_both_sides_are_connected(network, clock):
    a, b = Peer(network, clock, "a", "A"), Peer(network, clock, "b", "B", "A")
    async with running(clock, a, b):
        assert (a.connected, b.connected) == (["b"], ["a"])
    assert (a.history, b.history) == (["+b", "-b"], ["+a", "-a"])


async def test_an_address_is_dialled_with_growing_pauses_until_somebody_answers(network, clock):
    a, b = Peer(network, clock, "a", "A", "B"), Peer(network, clock, "b", "B")
    async with running(clock, a):
        await clock.advance(6.5)  # tried at 0, 1 and 3 seconds; the next time is 7
        async with running(clock, b):
            await clock.advance(0.4)
            assert a.connected == []
            await clock.advance(0.1)
            assert a.connected == ["b"]


async def test_an_address_at_which_nobody_answers_is_logged_once_until_somebody_does(network, clock, caplog):
    caplog.set_level(logging.INFO, "replication.links")
    a, b = Peer(network, clock, "a", "A", "B"), Peer(network, clock, "b", "B")
    async with running(clock, a):
        await clock.advance(100)
        line = "nobody answered at B; it is tried again until somebody answers"
        assert caplog.messages == [line]
        async with running(clock, b):
            await clock.advance(60)
            assert a.connected == ["b"]
        await clock.advance(200)
        assert caplog.messages.count(line) == 2


async def test_a_connection_that_ends_is_made_again(network, clock):
    a, b = Peer(network, clock, "a", "A", "B"), Peer(network, clock, "b", "B")
    async with running(clock, b, a):
        network.cut("A", "B")
        await clock.advance(30)
        assert (a.connected, b.connected) == ([], [])
        network.heal()
        await clock.advance(60)
        assert (a.connected, b.connected) == (["b"], ["a"])
        assert a.history == ["+b", "-b", "+b"]


async def test_of_two_that_dial_each_other_at_once_one_connection_stays(network, clock):
    a, b = Peer(network, clock, "a", "A", "B"), Peer(network, clock, "b", "B", "A")
    async with running(clock, a, b):
        await clock.advance(100)
        assert (a.connected, b.connected) == (["b"], ["a"])
        assert (a.most_at_once, b.most_at_once) == (1, 1)
        before = list(a.history), list(b.history)
        await clock.advance(1000)
        assert (a.history, b.history) == before  # it has settled
        assert len(network._connections) == 2  # the two ends of one


async def test_the_connection_that_the_smaller_id_dialled_stays(network, clock):
    a, b = Peer(network, clock, "a", "A"), Peer(network, clock, "b", "B")
    async with running(clock, a, b):
        b.links.add("A")
        await clock.advance(0)
        second = await a.transport.connect("B")  # as if a had dialled at the same moment
        await clock.advance(0)
        assert b.links.connections["a"] is second.other


async def test_a_peer_that_dials_anew_later_has_lost_the_older_connection(network, clock):
    a, b = Peer(network, clock, "a", "A"), Peer(network, clock, "b", "B", "A")
    async with running(clock, a, b):
        await clock.advance(SIMULTANEOUS_SECONDS)
        restarted = network.transport("b", address="B2")
        connection = await restarted.connect("A")
        await clock.advance(0)
        assert a.links.connections["b"] is connection.other
        assert a.history == ["+b", "-b", "+b"]
        assert a.most_at_once == 1


async def test_the_newest_of_three_connections_waits_until_the_first_is_over_too(network, clock):
    a, b = Peer(network, clock, "a", "a:1"), Peer(network, clock, "b", "b:1")
    a.ends = anyio.Event()
    async with running(clock, a, b):
        for _ in range(3):
            await clock.advance(SIMULTANEOUS_SECONDS + 1)
            await b.transport.connect("a:1")
            await clock.advance(0)
        served = list(a.history)
        a.ends.set()
        await clock.advance(0)
        assert served == ["+b"]
        assert a.history == ["+b", "-b", "+b"]
        assert a.most_at_once == 1


async def test_an_address_that_is_our_own_is_forgotten(network, clock):
    a = Peer(network, clock, "a", "A", "A", "B")
    async with running(clock, a):
        assert a.links.addresses == ("B",)
        assert not a.links.add("A")


async def test_a_peer_that_refuses_is_dialled_slowly(network, clock):
    a = Peer(network, clock, "a", "A", "B")
    b = Peer(network, clock, "b", "B", cluster="another")
    async with running(clock, b, a):
        assert a.links.addresses == ("B",)
        await clock.advance(29)
        ours = Peer(network, clock, "b", "B")
        network.leave(b.transport, "B")
        async with running(clock, ours):
            await clock.advance(0.5)
            assert a.connected == []
            await clock.advance(1)
            assert a.connected == ["b"]


async def test_an_address_that_is_discarded_is_dialled_no_more_but_its_connection_stays(network, clock):
    a, b = Peer(network, clock, "a", "A"), Peer(network, clock, "b", "B")
    async with running(clock, a, b):
        b.links.add("A")
        await clock.advance(0)
        assert b.connected == ["a"]
        b.links.discard("A")
        await clock.advance(0)
        assert b.links.addresses == ()
        assert a.connected == ["b"]


async def test_an_address_that_was_given_from_the_start_is_not_discarded(network, clock):
    b = Peer(network, clock, "b", "B", "A")
    async with running(clock, b):
        b.links.discard("A")
        assert b.links.addresses == ("A",)


async def test_two_names_of_one_peer_make_one_connection(network, clock):
    a, b = Peer(network, clock, "a", "A", "B", "B2"), Peer(network, clock, "b", "B")
    network.listen(b.transport, "B2")
    async with running(clock, b, a):
        await clock.advance(100)
        before = list(a.history)
        await clock.advance(1000)
        assert a.connected == ["b"]
        assert a.history == before


async def test_no_more_addresses_are_dialled_than_a_bound(network, clock):
    links = Links(network.transport("a", address="A"), "a", None, addresses=map(str, range(ADDRESSES_MAX)))
    assert links.add("0")
    assert not links.add("one more")


async def test_a_peer_that_breaks_the_protocol_loses_its_connection_and_others_keep_theirs(network, clock, caplog):
    class Strict(Peer):
        async def serve(self, connection: Connection) -> None:
            if await connection.receive() == b"nonsense":
                raise PeerError("this is nonsense")

    a, b, c = Strict(network, clock, "a", "A"), Peer(network, clock, "b", "B", "A"), Peer(network, clock, "c", "C", "A")
    async with running(clock, a, b, c):
        assert a.connected == ["b", "c"]
        await b.links.connections["a"].send(b"nonsense")
        await clock.advance(0)
        assert a.connected == ["c"]
        assert "peer b: this is nonsense" in caplog.text


async def test_an_error_of_our_own_ends_the_run(network, clock):
    async def serve(connection: Connection) -> None:
        raise LookupError("a bug of ours")

    a, b = Peer(network, clock, "a", "A"), Peer(network, clock, "b", "B", "A")
    a.links._on_connection = serve
    with pytest.raises(ExceptionGroup) as failed:
        async with running(clock, a, b):
            await anyio.sleep_forever()
    assert failed.group_contains(LookupError, match="a bug of ours")
