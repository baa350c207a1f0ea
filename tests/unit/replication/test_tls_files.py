"""TLS between nodes, from files: who shows a certificate of the authority is a peer, and what is wrong is said."""

import ssl
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from replication.commands.application import application
from replication.commands.tls import TlsContexts, tls_contexts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files of two nodes, of a stranger, and some that are no good."""
    folder = tmp_path_factory.mktemp("tls")
    authority, others = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, signer in (("berlin", authority), ("paris", authority), ("stranger", others)):
        issued = signer.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
        for part in issued.cert_chain_pems:
            part.write_to_path(folder / f"{name}.pem", append=True)
    key = load_pem_private_key((folder / "berlin.key").read_bytes(), None)
    (folder / "encrypted.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"a password"),
        )
    )
    (folder / "empty").touch()
    (folder / "text").write_text("a certificate")
    return folder


def contexts(folder: Path, name: str) -> TlsContexts:
    return tls_contexts(*[str(folder / file) for file in (f"{name}.pem", f"{name}.key", "ca.pem")])


def refused(server: ssl.SSLContext | None, client: ssl.SSLContext | None) -> str:
    """Let a server and one who has dialled 127.0.0.1 shake hands; return why they do not, or nothing if they do."""
    assert server is not None
    assert client is not None
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [server.wrap_bio(there, here, server_side=True), client.wrap_bio(here, there, server_hostname="127.0.0.1")]
    shaking = list(ends)
    while shaking:
        for end in list(shaking):
            try:
                end.do_handshake()
                shaking.remove(end)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                return str(error)
    return ""


def test_two_nodes_whose_certificates_the_authority_has_signed_are_peers_and_nobody_else_is(folder: Path) -> None:
    berlin, paris, stranger = (contexts(folder, name) for name in ("berlin", "paris", "stranger"))
    assert refused(berlin.server, paris.client) == refused(paris.server, berlin.client) == ""

    assert "unable to get local issuer" in refused(berlin.server, stranger.client)
    assert "unable to get local issuer" in refused(stranger.server, paris.client)
    assert "did not return a certificate" in refused(
        berlin.server, ssl.create_default_context(cafile=folder / "ca.pem")
    )


def test_without_files_there_is_no_tls() -> None:
    assert tls_contexts(None, None, None) == (None, None)


WRONG: dict[str, tuple[tuple[str, str, str], int, str]] = {
    "no certificate": (("", "berlin.key", "ca.pem"), 2, "there is no --tls-certificate"),
    "no authority": (("berlin.pem", "berlin.key", ""), 2, "there is no --tls-ca"),
    "a certificate alone": (("berlin.pem", "", ""), 2, "there is no --tls-key, --tls-ca"),
    "a certificate that is not there": (("nothing", "berlin.key", "ca.pem"), 1, "nothing'"),
    "a key that is not there": (("berlin.pem", "nothing", "ca.pem"), 1, "nothing'"),
    "an authority that is not there": (("berlin.pem", "berlin.key", "nothing"), 1, "nothing'"),
    "a key of another": (("berlin.pem", "paris.key", "ca.pem"), 2, "paris.key is not that of the certificate in"),
    "a key that is encrypted": (("berlin.pem", "encrypted.key", "ca.pem"), 2, "encrypted.key is encrypted"),
    "a certificate that is none": (("text", "berlin.key", "ca.pem"), 2, "text must hold a certificate and"),
    "a key that is none": (("berlin.pem", "empty", "ca.pem"), 2, "empty its private key, both in PEM"),
    "an authority that is none": (("berlin.pem", "berlin.key", "text"), 2, "text must hold certificates in PEM"),
    "an authority that is empty": (("berlin.pem", "berlin.key", "empty"), 2, "empty must hold certificates in PEM"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_that_do_not_hold_are_named_and_no_node_is_started(name: str, folder: Path, tmp_path: Path) -> None:
    files, code, reason = WRONG[name]
    options = zip(("--tls-certificate", "--tls-key", "--tls-ca"), files, strict=True)
    arguments = [word for option, file in options if file for word in (option, str(folder / file))]
    result = CliRunner().invoke(application, ["node", "--data", str(tmp_path / "a.db"), *arguments])
    assert (result.exit_code, reason in result.stderr) == (code, True), result.stderr
    assert not (tmp_path / "a.db").exists()
