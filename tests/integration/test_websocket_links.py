import anyio
import pytest

from calliope.flow import Backoff
from replication.errors import ConnectionLostError
from replication.links import Links
from replication.transports.protocol import Connection
from tests.integration.websocket_ends import transport

pytestmark = pytest.mark.anyio

QUICK = Backoff(first_seconds=0.02, longest_seconds=0.1)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Replica:
    """Links over WebSockets that say who came and went, and hand on what arrives."""

    def __init__(self, replica_id: str, listen: str = "127.0.0.1:0") -> None:
        self.transport = transport(replica_id, listen=listen, secret="Schlüssel")
        self.links = Links(self.transport, replica_id, self.serve, dialling=QUICK)
        self.history: list[str] = []
        self.arrived: list[bytes] = []
        self.changed = anyio.Event()

    async def serve(self, connection: Connection) -> None:
        self.note(f"+{connection.replica_id}")
        try:
            while True:
                self.arrived.append(await connection.receive())
                self.changed.set()
        except ConnectionLostError:
            self.note(f"-{connection.replica_id}")

    def note(self, what: str) -> None:
        self.history.append(what)
        self.changed.set()

    async def until(self, condition) -> None:
        with anyio.fail_after(10):
            while not condition():
                self.changed = anyio.Event()
                await self.changed.wait()


async def test_two_that_dial_each_other_at_once_keep_one_connection_that_works_both_ways():
    berlin, paris = Replica("berlin"), Replica("paris")
    async with anyio.create_task_group() as group:
        await group.start(berlin.links.run)
        await group.start(paris.links.run)
        paris.links.add(berlin.transport.address)
        berlin.links.add(paris.transport.address)
        await anyio.sleep(0.5)  # many times as long as it takes to settle
        assert list(berlin.links.connections) == ["paris"]
        assert list(paris.links.connections) == ["berlin"]
        await berlin.links.connections["paris"].send(b"to paris")
        await paris.links.connections["berlin"].send(b"to berlin")
        await paris.until(lambda: paris.arrived == [b"to paris"])
        await berlin.until(lambda: berlin.arrived == [b"to berlin"])
        closing_at = anyio.current_time()
        group.cancel_scope.cancel()
    assert anyio.current_time() - closing_at < 3


async def test_a_peer_that_was_restarted_is_connected_again_at_its_address():
    berlin, paris = Replica("berlin"), Replica("paris")
    async with anyio.create_task_group() as group:
        await group.start(berlin.links.run)
        async with anyio.create_task_group() as first_run:
            await first_run.start(paris.links.run)
            berlin.links.add(paris.transport.address)
            await paris.until(lambda: paris.history == ["+berlin"])
            first_run.cancel_scope.cancel()
        await berlin.until(lambda: berlin.history == ["+paris", "-paris"])
        again = Replica("paris", listen=paris.transport.address)
        await group.start(again.links.run)
        await again.until(lambda: again.history == ["+berlin"])
        await berlin.until(lambda: berlin.history == ["+paris", "-paris", "+paris"])
        group.cancel_scope.cancel()


async def test_an_address_that_is_our_own_is_forgotten():
    berlin = Replica("berlin")
    async with anyio.create_task_group() as group:
        await group.start(berlin.links.run)
        own = berlin.transport.address.replace("127.0.0.1", "localhost")  # a name that the node does not know it by
        assert berlin.links.add(own)
        with anyio.fail_after(5):
            while berlin.links.addresses:  # noqa: ASYNC110 - nobody is told of it
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
