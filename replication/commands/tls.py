"""TLS between replicas, from the files that a command line names.

Both sides show a certificate and check the other's, so a node, which listens and dials, needs one for both.
"""

import ssl
from typing import NamedTuple

FILES = ("--tls-certificate", "--tls-key", "--tls-ca")
"""The options; it takes all of them."""


class TlsContexts(NamedTuple):
    """What `Node.open` takes.

    Attributes:
        server: for connections that others make.
        client: for connections that this replica makes.
    """

    server: ssl.SSLContext | None
    client: ssl.SSLContext | None


def tls_contexts(certificate: str | None, key: str | None, authority: str | None) -> TlsContexts:
    """Return contexts that show a certificate, and take only peers whose certificate the authority has signed.

    A peer that is dialled must have a certificate for the host by which it is dialled.

    Args:
        certificate: a PEM file with the certificate, and those between it and the authority.
        key: a PEM file with its private key, not encrypted.
        authority: a PEM file with the certificates of those who sign for the cluster.

    Raises:
        ValueError: some are missing, or a file does not hold what it must, or the key is another certificate's.
        OSError: a file cannot be read.
    """
    files = (certificate, key, authority)
    if certificate is None and key is None and authority is None:
        return TlsContexts(None, None)
    if certificate is None or key is None or authority is None:
        missing = ", ".join(option for option, file in zip(FILES, files, strict=True) if file is None)
        raise ValueError(f"TLS takes {', '.join(FILES[:2])} and {FILES[2]} together; there is no {missing}")
    for file in (certificate, key, authority):
        with open(file, "rb"):  # the errors of `ssl` do not say which file it was
            pass
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.verify_mode = ssl.CERT_REQUIRED
    for context in (server, client):
        _show(context, certificate, key)
        _trust(context, authority)
    return TlsContexts(server, client)


def _show(context: ssl.SSLContext, certificate: str, key: str) -> None:
    try:
        context.load_cert_chain(certificate, key, password=_refused_password)
    except _EncryptedKeyError:
        raise ValueError(f"the private key in {key} is encrypted; it must be one that can be read by itself") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"the private key in {key} is not that of the certificate in {certificate}") from None
        raise ValueError(
            f"{certificate} must hold a certificate and {key} its private key, both in PEM: {error}"
        ) from None


def _trust(context: ssl.SSLContext, authority: str) -> None:
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError as error:
        raise ValueError(f"{authority} must hold certificates in PEM: {error}") from None


class _EncryptedKeyError(Exception):
    """A private key needs a password."""


def _refused_password() -> str:
    """Ask nobody: without this, OpenSSL would, on the terminal, for ever."""
    raise _EncryptedKeyError
