"""`loro`: CRDTs in Rust, one commit a change. Its constructors are untyped."""
# mypy: disable-error-code="no-untyped-call"

from collections.abc import Callable, Sequence
from typing import Any

from loro import ExportMode, LoroDoc, VersionVector

from benchmarks.peers import CrdtPeer


class Document:
    """A document with one map."""

    def __init__(self) -> None:
        self._document = LoroDoc()
        self._map = self._document.get_map("map")

    def assign(self, key: str, value: Any) -> None:
        """Assign and commit."""
        self._map.insert(key, value)
        self._document.commit()

    def encode(self) -> bytes:
        """Return all changes; a snapshot takes longer to merge."""
        return self._document.export(ExportMode.Updates(VersionVector()))

    def merge(self, data: bytes) -> None:
        """Join another's changes."""
        self._document.import_(data)

    def size(self) -> int:
        """Return how many keys there are."""
        return len(self._map)


def _updates(elements: Sequence[str]) -> list[bytes]:
    document = LoroDoc()
    elements_map = document.get_map("map")
    updates: list[bytes] = []

    def keep(update: bytes) -> bool:
        updates.append(update)
        return True

    subscription = document.subscribe_local_update(keep)
    for element in elements:
        elements_map.insert(element, True)
        document.commit()
    subscription.unsubscribe()
    return updates


def _counter() -> Callable[[], object]:
    document = LoroDoc()
    counter = document.get_counter("counter")

    def increment() -> None:
        counter.increment(1)
        document.commit()

    return increment


def _counters() -> Callable[[str], object]:
    document = LoroDoc()
    counters = document.get_map("map")

    def increment(key: str) -> None:
        counters.ensure_mergeable_counter(key).increment(1)
        document.commit()

    return increment


PEER = CrdtPeer("loro", Document, _updates, _counter, _counters)
