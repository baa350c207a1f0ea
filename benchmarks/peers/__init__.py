"""Other libraries that do what ours do, each in a module of its own and measured if it is installed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol


@dataclass(frozen=True)
class Use:
    """How a library is used for one purpose, and measured.

    Attributes:
        measure: is given an empty folder and how many events; returns the figure.
        note: what exactly is called, and with which settings.
    """

    measure: Callable[[Path, int], float]
    note: str


@dataclass(frozen=True)
class EventSourcingPeer:
    """A library that keeps event streams in SQLite.

    Attributes:
        distribution: its name on PyPI.
        append: persists that many events with as much concurrency as suits it; returns events a second.
        replay: reads one stream of that many events into a fold; returns events a second.
        wake_up: returns the median milliseconds, over so many samples, from the call that persists an event to its
            receipt by a live reader in the same process; None if it has no live readers on SQLite.
    """

    distribution: str
    append: Use
    replay: Use
    wake_up: Use | None = None

    @property
    def name(self) -> str:
        """The distribution and its version."""
        return f"{self.distribution} {version(self.distribution)}"


class CrdtDocument(Protocol):
    """A document of a library of CRDTs, with a map at its root that serves as set, register and map.

    Every change is a transaction, or a commit, of its own.
    """

    def assign(self, key: str, value: Any) -> None:
        """Assign a value to a key; True stands for an element of a set."""
        ...

    def encode(self) -> bytes:
        """Return all changes as bytes, in the form that is merged fastest."""
        ...

    def merge(self, data: bytes) -> None:
        """Join what another document encoded."""
        ...

    def size(self) -> int:
        """Return how many keys there are."""
        ...


@dataclass(frozen=True)
class CrdtPeer:
    """A library of CRDTs that is written in Rust.

    Attributes:
        distribution: its name on PyPI.
        document: makes an empty document.
        updates: returns, for each element, what one replica sends another when it assigns it to its map.
        counter: makes a document, and returns a function that increments a counter in it; None: it has no counters.
        counters: makes a document, and returns a function that increments the counter under a key of a map.
    """

    distribution: str
    document: Callable[[], CrdtDocument]
    updates: Callable[[Sequence[str]], list[bytes]]
    counter: Callable[[], Callable[[], object]] | None = None
    counters: Callable[[], Callable[[str], object]] | None = None

    @property
    def name(self) -> str:
        """The distribution and its version."""
        return f"{self.distribution} {version(self.distribution)}"


def event_sourcing_peers() -> list[EventSourcingPeer]:
    """Return the peers of the journal that are installed."""
    modules = _installed("eventsourcing_peer", "eventsource_peer", "py_event_sourcing_peer")
    return [module.PEER for module in modules]


def crdt_peers() -> list[CrdtPeer]:
    """Return the peers of the CRDTs that are installed."""
    return [module.PEER for module in _installed("loro_peer", "pycrdt_peer")]


def _installed(*names: str) -> list[ModuleType]:
    modules = []
    for name in names:
        try:
            modules.append(import_module(f"{__name__}.{name}"))
        except ImportError:
            continue  # the peer is not installed; a table says which ones it compares
    return modules
