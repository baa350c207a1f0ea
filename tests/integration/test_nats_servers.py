"""The servers that tests of NATS start: they are what is asked for, survive being killed, and leave nothing."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import psutil
import pytest
from nats.aio.client import Client
from nats.js.errors import ServiceUnavailableError

from tests.nats import PATIENCE_SECONDS, new_journal, own_cluster, own_server, server, url_of_journal

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """Lend a connection to a server, or to the first of several."""
    client = await nats.connect(url.split(","), allow_reconnect=False, connect_timeout=round(PATIENCE_SECONDS))
    try:
        yield client
    finally:
        await client.close()


def servers() -> set[int]:
    return {child.pid for child in psutil.Process().children() if child.name() == "nats-server"}


@pytest.fixture(autouse=True)
def _those_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out servers that last longer than a test."""
    monkeypatch.setattr(sys.modules[__name__], "OTHERS", servers())


OTHERS: set[int] = set()


def servers_running() -> int:
    return len(servers() - OTHERS)


async def test_a_server_that_is_killed_starts_again_with_its_data() -> None:
    with own_server() as running:
        async with connected(running.url) as client:
            await client.jetstream(timeout=PATIENCE_SECONDS).add_stream(name="kept", subjects=["kept.>"])
            await client.jetstream(timeout=PATIENCE_SECONDS).publish("kept.1", b"it")
        running.kill()
        running.start()
        async with connected(running.url) as client:
            assert (await client.jetstream(timeout=PATIENCE_SECONDS).get_msg("kept", 1)).data == b"it"
    assert servers_running() == 0


async def test_a_test_that_fails_leaves_no_server() -> None:
    def fail() -> None:
        with own_server():
            assert servers_running() == 1
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert servers_running() == 0


async def test_a_server_asks_for_passwords_and_may_have_no_jetstream() -> None:
    with own_server(users={"ada": "secret"}, jetstream=None) as running:
        async with connected(running.url) as client:
            with pytest.raises(ServiceUnavailableError):
                await client.jetstream(timeout=PATIENCE_SECONDS).account_info()
        refused = Client()  # `nats.connect` would leave its socket open
        with pytest.raises(Exception, match="Authorization Violation"):
            await refused.connect(running.url.replace("secret", "guess"), allow_reconnect=False, error_cb=ignore)
        await refused.close()


async def ignore(_: Exception) -> None:
    """Take the place of a log."""


async def test_a_server_of_the_users_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLIOPE_TEST_NATS", "nats://far.example:4222")
    with server() as url:
        assert url == "nats://far.example:4222"
        assert servers_running() == 0
        assert url_of_journal(url, "orders", replicas=3) == "nats://far.example:4222/orders?replicas=3"
    assert new_journal() != new_journal()


async def test_servers_of_a_cluster_know_who_leads_a_stream() -> None:
    with own_cluster() as cluster:
        async with connected(cluster.url) as client:
            await client.jetstream(timeout=PATIENCE_SECONDS).add_stream(
                name="copied", subjects=["copied.>"], num_replicas=3
            )
            await client.jetstream(timeout=PATIENCE_SECONDS).publish("copied.1", b"it")
        assert cluster.leader_of("copied") in cluster.servers
    assert servers_running() == 0
