import asyncio
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from replication.errors import ConnectionLostError, PeerRefusedError
from tests.integration.websocket_ends import dialling, listening, transport

within = asyncio.timeout


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def server_context(authority, *names: str, clients=None, **more) -> ssl.SSLContext:
    """Return the context of a node that shows a certificate for names, and asks clients for one of `clients`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or ("127.0.0.1",)), **more).configure_cert(context)
    (clients or authority).configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(authority, shown=None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    if shown is not None:
        shown.configure_cert(context)
    return context


@pytest.mark.parametrize("secret", [None, "and a secret on top"])
async def test_two_replicas_with_certificates_of_one_authority_are_connected(authority, secret):
    client = client_context(authority, authority.issue_cert("paris"))
    async with (
        listening(tls_server=server_context(authority), secret=secret) as berlin,
        dialling(tls_client=client, secret=secret) as paris,
        within(10),
    ):
        connection = await paris.connect(berlin.transport.address)
        await connection.send(b"x" * 1_000_000)
        assert len(await berlin.arrived.get()) == 1_000_000
        await connection.aclose("enough")
        await berlin.has_ended.wait()
        assert "enough" in berlin.ended[0]


async def test_a_client_without_a_certificate_is_not_served_and_the_log_says_who_and_why(authority, caplog):
    async with (
        listening(tls_server=server_context(authority)) as berlin,
        dialling(tls_client=client_context(authority)) as paris,
        within(10),
    ):
        with pytest.raises((ConnectionLostError, PeerRefusedError)):
            await paris.connect(berlin.transport.address)
        assert berlin.connections == []
        assert "peer 127.0.0.1: did not greet: [SSL: PEER_DID_NOT_RETURN_A_CERTIFICATE]" in caplog.text


async def test_a_client_with_a_certificate_of_another_authority_is_not_served(authority):
    client = client_context(authority, trustme.CA().issue_cert("paris"))
    async with (
        listening(tls_server=server_context(authority)) as berlin,
        dialling(tls_client=client) as paris,
        within(10),
    ):
        with pytest.raises((ConnectionLostError, PeerRefusedError)):
            await paris.connect(berlin.transport.address)
        assert berlin.connections == []


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (lambda authority: server_context(trustme.CA(), clients=authority), "unable to get local issuer"),
        (lambda authority: server_context(authority, "berlin.example.org"), "IP address mismatch"),
        (
            lambda authority: server_context(
                authority,
                "127.0.0.1",
                not_before=datetime.now(UTC) - timedelta(days=2),
                not_after=datetime.now(UTC) - timedelta(days=1),
            ),
            "certificate has expired",
        ),
    ],
    ids=["another authority", "another name", "expired"],
)
async def test_a_server_whose_certificate_does_not_hold_is_refused(authority, shown, reason):
    client = client_context(authority, authority.issue_cert("paris"))
    async with (
        listening(tls_server=shown(authority)) as berlin,
        dialling(tls_client=client) as paris,
        within(10),
    ):
        with pytest.raises(PeerRefusedError, match=reason):
            await paris.connect(berlin.transport.address)
        assert berlin.connections == []


async def test_who_does_not_speak_tls_is_not_served(authority):
    async with listening(tls_server=server_context(authority)) as berlin, dialling() as paris, within(10):
        with pytest.raises(ConnectionLostError):
            await paris.connect(berlin.transport.address)
        assert berlin.connections == []


async def test_a_tls_handshake_that_is_never_finished_is_given_up(authority):
    async with listening(tls_server=server_context(authority)) as berlin, within(10):
        host, port = berlin.transport.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        assert await reader.read() == b""
        writer.close()


def test_tls_that_asks_clients_for_certificates_may_listen_anywhere(authority):
    transport("berlin", listen="0.0.0.0:0", tls_server=server_context(authority))


def test_tls_that_asks_clients_for_nothing_may_listen_on_the_loopback_interface_only(authority):
    context = server_context(authority)
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises(ValueError, match="CERT_REQUIRED"):
        transport("berlin", listen="0.0.0.0:0", tls_server=context)
    transport("berlin", listen="127.0.0.1:0", tls_server=context)
