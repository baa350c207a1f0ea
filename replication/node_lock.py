"""A node holds its journal file alone: two would write to one log under two minds."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from calliope import JournalBusyError

try:
    import fcntl
except ImportError:  # Windows has no such locks; there the user sees to it
    fcntl = None  # type: ignore[assignment]


@contextmanager
def held(journal: Path | None) -> Iterator[None]:
    """Hold a journal file for this node; the operating system lets it go when the process ends, however it ends.

    Other processes may still read the journal, and write plain events to it.

    Args:
        journal: the file; None: the journal is in memory.

    Raises:
        JournalBusyError: another node holds it.
    """
    if journal is None or fcntl is None:
        yield
        return
    real = Path(os.path.realpath(journal))  # under whatever name it was given
    path = real.with_name(f"{real.name}-node")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise JournalBusyError(f"another node runs on {journal}: it holds {path}") from None
        yield
    finally:
        os.close(descriptor)
