"""`calliope node`: a replica as a service of its own."""

import logging
import secrets
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import click

from calliope.journal import Journal, is_on_server, path_of
from calliope.stores.replica_store import ReplicaStore
from calliope.stores.versioned import replica_of
from replication.commands.journals import VARIABLE, checked_arguments
from replication.commands.tls import tls_contexts
from replication.http_api.server import checked_place, serving
from replication.node import Node

HTTP_ADDRESS = "127.0.0.1:7400"

SECRET_FILE_BYTES_MAX = 64 * 1024

LOG_LEVELS = ("debug", "info", "warning", "error")


@click.command("node")
@click.option(
    "--data",
    required=True,
    envvar=VARIABLE,
    metavar="FILE",
    help=f"The journal: a file, or a postgresql:// URL. [or {VARIABLE}]",
)
@click.option(
    "--replica-id",
    metavar="ID",
    help="Who this replica is, for ever.  [default: who it was before; at first the name of FILE and a random number]",
)
@click.option("--listen", metavar="HOST:PORT", help="Where other replicas connect; port 0 takes a free one.")
@click.option("--peer", "peers", metavar="HOST:PORT", multiple=True, help="Where another replica listens; repeatable.")
@click.option("--discover", is_flag=True, help="Find, and be found by, replicas on the local network.")
@click.option("--cluster", default="calliope", show_default=True, metavar="NAME", help="The name of the cluster.")
@click.option("--secret-file", metavar="FILE", help="Holds what all replicas of the cluster know.")
@click.option("--tls-certificate", metavar="FILE", help="This replica's certificate, in PEM: TLS between replicas.")
@click.option("--tls-key", metavar="FILE", help="The private key of the certificate, in PEM.")
@click.option("--tls-ca", metavar="FILE", help="Who signs the certificates of the cluster, in PEM.")
@click.option(
    "--http", default=HTTP_ADDRESS, show_default=True, metavar="HOST:PORT", help="Where the HTTP API is served."
)
@click.option("--http-token-file", metavar="FILE", help="Holds what clients of the HTTP API must know.")
@click.option("--log-level", type=click.Choice(LOG_LEVELS), default="info", show_default=True)
def run_node(
    data: str,
    replica_id: str | None,
    listen: str | None,
    peers: tuple[str, ...],
    cluster: str,
    secret_file: str | None,
    tls_certificate: str | None,
    tls_key: str | None,
    tls_ca: str | None,
    http: str,
    http_token_file: str | None,
    log_level: str,
    *,
    discover: bool,
) -> None:
    """Run a replica as a service, until SIGTERM or Ctrl-C.

    Other processes use it over HTTP: values, events, live feeds, /health, /metrics; GET / says what there is. `calliope
    status` shows its cluster.

    Without --secret-file or TLS only loopback addresses are listened on and connected to, and without --http-token-file
    the HTTP API is served on a loopback address only. Clients send "Authorization: Bearer" and the token.

    With --tls-certificate, --tls-key and --tls-ca, which go together, replicas speak TLS, and both sides must show a
    certificate that --tls-ca has signed; who is dialled, one for the host by which it is dialled.
    """
    with checked_arguments():
        secret = None if secret_file is None else contents(secret_file)
        token = b"" if http_token_file is None else contents(http_token_file)
        checked_place(http, token)
        tls = tls_contexts(tls_certificate, tls_key, tls_ca)
        kept = data if is_on_server(data) else path_of(data)
        node = Node.open(
            data,
            replica_id=known_replica_id(kept) if replica_id is None else replica_id,
            listen=listen,
            peers=peers,
            discover=discover,
            cluster=cluster,
            secret=secret,
            tls_server=tls.server,
            tls_client=tls.client,
        )
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if anyio.run(_run, node, http, token) == signal.SIGINT:
        raise KeyboardInterrupt


async def _run(node: Node, http: str, token: bytes) -> signal.Signals:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(node)
            url = await stack.enter_async_context(serving(node, http, token))
            place = f"listens at {node.address}" if node.address else "listens nowhere"
            click.echo(f"{node.replica_id} {place}, HTTP at {url}")
            sys.stdout.flush()
            return await anext(signals)


def known_replica_id(kept: Path | str | None) -> str:
    """Return who the replica of a journal is: who it was before, or the name of the file and a random number.

    Args:
        kept: the journal's file, or its URL if it is on a server; None: it is kept nowhere.
    """
    is_there = kept.exists() if isinstance(kept, Path) else kept is not None
    known = anyio.run(_recorded_replica_id, kept) if is_there else ""
    name = kept.stem.replace("~", "-") if isinstance(kept, Path) else "replica"
    return known or f"{name}-{secrets.token_hex(4)}"


async def _recorded_replica_id(kept: Path | str | None) -> str:
    async with Journal.open(kept or "memory://") as journal:
        store = journal.store
        return replica_of(store.log_id) if isinstance(store, ReplicaStore) and store.log_id else ""


def contents(file: str) -> bytes:
    """Return what a file with a secret holds, without the end of its line.

    Raises:
        ValueError: it holds nothing, or more than a secret.
        OSError: it cannot be read.
    """
    with open(file, "rb") as opened:
        secret = opened.read(SECRET_FILE_BYTES_MAX + 1).strip()
    if not secret or len(secret) > SECRET_FILE_BYTES_MAX:
        what = "holds nothing" if not secret else f"holds more than {SECRET_FILE_BYTES_MAX} bytes"
        raise ValueError(f"{file} {what}; it must hold a secret")
    return secret
