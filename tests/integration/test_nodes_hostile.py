"""Who is not of the cluster, or lies, loses his connection: he gets nothing, changes nothing, and the node works on.

What the transport and the handshake refuse is tested in more ways by `test_websocket.py` and `test_handshake.py`; here
is what it means for a node, over real sockets.
"""

import asyncio
import logging
from collections.abc import Callable

import pytest

from calliope.stores.replica_store import StoredState
from calliope.stores.versioned import LogEntry, checksum_of
from crdts import GCounter, ORSet, VersionVector
from replication import Node
from replication.core.messages import (
    Acknowledgement,
    Answer,
    Cursor,
    Entries,
    Message,
    Question,
    SnapshotChunk,
    SnapshotRequest,
)
from replication.handshake import GREETING_BYTES_MAX, Handshake
from replication.transports.framing import FRAME_BYTES_MAX
from tests.integration.hostile import (
    CLUSTER,
    DATA,
    MALLORY,
    NOTHING,
    SECRET,
    Mallory,
    digest,
    forged,
    friend_of,
    mallory_at,
    node_with_data,
    stranger,
    told_in_greeting,
)

SECONDS = 30.0
"""A limit that only ends a test that hangs."""

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Watched:
    """What a node held before it met somebody, and the lines that were logged since."""

    def __init__(self, node: Node, caplog: pytest.LogCaptureFixture) -> None:
        self._node = node
        self._caplog = caplog
        self._vector = node.journal.store.vector
        self._sent_bytes = node.sent_bytes
        caplog.set_level(logging.WARNING)

    async def check_unchanged(self, reason: str, *, of: str = "") -> None:
        """Check that nothing was taken over, that one line says why, and that the node still works."""
        node = self._node
        assert node.journal.store.vector == self._vector
        cart: ORSet[str] = await node.replicator.get("cart", ORSet)
        assert cart.value == {DATA}
        (line,) = [record.getMessage() for record in self._caplog.records if reason in record.getMessage()]
        assert of in line
        async with friend_of(node) as friend:
            await friend.replicator.update("works", GCounter, lambda count: count.increment(), replicas=2)
            await node.replicator.wait_until("works", lambda count: count.value == 1, timeout=SECONDS)

    def check_nothing_sent(self) -> None:
        assert self._node.sent_bytes == self._sent_bytes
        assert not self._node.peers


STRANGERS: dict[str, tuple[Callable[[], Handshake], int | None, str]] = {
    "another secret": (lambda: stranger("mallory", CLUSTER, "wrong"), None, "the secrets differ"),
    "no secret": (lambda: stranger("mallory", CLUSTER, None), None, "only one of the two has a secret"),
    "another cluster": (lambda: stranger("mallory", "office", SECRET), None, "the clusters differ"),
    "another protocol version": (lambda: stranger("mallory", CLUSTER, SECRET), 9, "the protocol versions differ"),
}


@pytest.mark.parametrize("name", STRANGERS)
async def test_a_stranger_is_told_why_and_nothing_else(name: str, caplog: pytest.LogCaptureFixture) -> None:
    make, version, reason = STRANGERS[name]
    async with asyncio.timeout(SECONDS), node_with_data() as node:
        watched = Watched(node, caplog)
        said = await told_in_greeting(node.address, make(), version=version)
        assert reason.encode() in said[-1]
        assert sum(map(len, said)) < GREETING_BYTES_MAX
        assert not any(DATA.encode() in part or b"cart" in part for part in said)
        watched.check_nothing_sent()
        await watched.check_unchanged(reason)


Lie = Callable[[LogEntry, LogEntry], Message]
"""What is said, given what the node and its friend have written."""


def future_of(entry: LogEntry) -> VersionVector:
    return VersionVector({entry.log_id: entry.number + 5})


def altered(entry: LogEntry, *, fits: bool) -> LogEntry:
    """The entry with another body, and with a checksum that fits it or not."""
    body = entry.body.replace(b"\xa3add", b"\xa3axd")
    assert body != entry.body
    checksum = checksum_of(entry.log_id, entry.number, entry.kind, body) if fits else entry.checksum
    return LogEntry(entry.log_id, entry.number, entry.kind, checksum, body)


def nonsense() -> LogEntry:
    body = b"\xc1 is never msgpack"
    return LogEntry(MALLORY, 1, "events", checksum_of(MALLORY, 1, "events", body), body)


LIES: dict[str, tuple[Lie, str]] = {
    "a number that is not next": (
        lambda ours, theirs: Entries((forged(MALLORY, 2),)),
        "sent mallory~00:2 where 1 was next",
    ),
    "somebody else's record, altered": (
        lambda ours, theirs: Entries((altered(theirs, fits=False),)),
        "with a wrong checksum",
    ),
    "somebody else's record, forged": (
        lambda ours, theirs: Entries((altered(theirs, fits=True),)),
        "with other content than is known",
    ),
    "our record, forged": (
        lambda ours, theirs: Entries((altered(ours, fits=True),)),
        "with other content than is known",
    ),
    "a record that we never wrote": (
        lambda ours, theirs: Entries((forged(ours.log_id, ours.number + 1),)),
        "never written",
    ),
    "events that cannot be decoded": (lambda ours, theirs: Entries((nonsense(),)), "sent what cannot be stored"),
    "a vector that claims our future": (
        lambda ours, theirs: digest(future_of(ours)),
        "never written",
    ),
    "a floor above what it holds": (
        lambda ours, theirs: digest(floor=VersionVector({MALLORY: 7})),
        "has dropped operations that it never held",
    ),
    "an acknowledgement of our future": (
        lambda ours, theirs: Acknowledgement(future_of(ours)),
        "never written",
    ),
    "a digest of somebody else": (lambda ours, theirs: digest(speaker="paris"), "speaks as 'paris'"),
}


async def written_by(node: Node, friend: Node) -> tuple[LogEntry, LogEntry]:
    """Return the last entry of each of the two, as the first of them holds it."""
    await friend.replicator.update("cart", ORSet, lambda cart: cart.add(DATA), replicas=2)
    page = await node.journal.store.read_log(have=NOTHING, after=0, bytes_max=2**20)
    entries = {entry.log_id.partition("~")[0]: entry for entry in page.entries}
    return entries[node.replica_id], entries[friend.replica_id]


@pytest.mark.parametrize("name", LIES)
async def test_a_lie_costs_the_connection_and_changes_nothing(name: str, caplog: pytest.LogCaptureFixture) -> None:
    lie, reason = LIES[name]
    async with asyncio.timeout(SECONDS), node_with_data() as node:
        async with friend_of(node) as friend:
            written = await written_by(node, friend)
        watched = Watched(node, caplog)
        async with mallory_at(node) as mallory:
            await mallory.say(digest(), lie(*written))
            assert reason in await mallory.is_dropped()
        await watched.check_unchanged(reason, of="mallory")


async def test_an_answer_that_claims_our_future_costs_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async with asyncio.timeout(SECONDS), node_with_data() as node, mallory_at(node) as mallory:
        await mallory.say(digest())
        watched = Watched(node, caplog)
        reading = asyncio.create_task(node.replicator.get("cart", ORSet, replicas=2, timeout=SECONDS))
        question = await mallory.hears(Question)
        assert isinstance(question, Question)
        ((log_id, number),) = node.journal.store.vector.items()
        await mallory.say(Answer("berlin", question.number, "mallory", VersionVector({log_id: number + 1})))
        assert "never written" in await mallory.is_dropped()
        await watched.check_unchanged("never written", of="mallory")
        cart: ORSet[str] = await reading  # the friend has answered
        assert cart.value == {DATA}


async def test_states_that_are_none_cost_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async with asyncio.timeout(SECONDS), node_with_data() as node, mallory_at(node) as mallory:
        watched = Watched(node, caplog)
        cut = VersionVector({MALLORY: 7})
        await mallory.say(digest(cut, floor=cut))  # who lacks some of this needs a snapshot
        assert isinstance(await mallory.hears(SnapshotRequest), SnapshotRequest)
        state = StoredState("cart", "orset", b"\xc1 is no state")
        await mallory.say(SnapshotChunk(Cursor(), cut, (state,), (), None))
        assert "sent what cannot be stored" in await mallory.is_dropped()
        await watched.check_unchanged("sent what cannot be stored", of="mallory")


@pytest.mark.parametrize("message", [b"", b"\x01\xc1", b"\x01" + b"\x91" * 200, b"\x01\x82\xa3one"])
async def test_what_is_no_message_costs_the_connection(message: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with asyncio.timeout(SECONDS), node_with_data() as node, mallory_at(node) as mallory:
        await mallory.say(digest())
        watched = Watched(node, caplog)
        await mallory.connection.send(message)
        assert "malformed message" in await mallory.is_dropped()
        await watched.check_unchanged("malformed message", of="mallory")


async def test_a_frame_that_is_sent_again_costs_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async with asyncio.timeout(SECONDS), node_with_data() as node, mallory_at(node) as mallory:
        await mallory.say(digest())
        watched = Watched(node, caplog)
        frame = await overheard(mallory)
        await mallory.connection._socket.send_bytes(frame)
        assert "is not what the peer sealed" in await mallory.is_dropped()
        await watched.check_unchanged("is not what the peer sealed", of="mallory")


async def test_a_frame_that_is_too_large_costs_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async with asyncio.timeout(SECONDS), node_with_data() as node, mallory_at(node) as mallory:
        await mallory.say(digest())
        watched = Watched(node, caplog)
        await mallory.connection._socket.send_bytes(bytes(FRAME_BYTES_MAX + 1))
        await mallory.is_dropped()
        await watched.check_unchanged("exceeds limit", of="mallory")


async def overheard(mallory: Mallory) -> bytes:
    """Send a frame; return what went over the wire."""
    frame = mallory.connection._sealing.close(b"")
    await mallory.connection._socket.send_bytes(frame)
    return frame
