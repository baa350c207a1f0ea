"""`pycrdt`: Yjs in Rust, one transaction a change."""

from collections.abc import Sequence
from typing import Any

from pycrdt import Doc, Map

from benchmarks.peers import CrdtPeer


class Document:
    """A document with one map; a change outside of a transaction is one of its own."""

    def __init__(self) -> None:
        self._document: Doc[Map[object]] = Doc()
        self._map = self._document.get("map", type=Map)

    def assign(self, key: str, value: Any) -> None:
        """Assign, in a transaction of its own."""
        self._map[key] = value

    def encode(self) -> bytes:
        """Return all changes."""
        return self._document.get_update()

    def merge(self, data: bytes) -> None:
        """Join another's changes."""
        self._document.apply_update(data)

    def size(self) -> int:
        """Return how many keys there are."""
        return len(self._map)


def _updates(elements: Sequence[str]) -> list[bytes]:
    document: Doc[Map[object]] = Doc()
    elements_map = document.get("map", type=Map)
    updates: list[bytes] = []
    subscription = document.observe(lambda event: updates.append(event.update))
    for element in elements:
        elements_map[element] = True
    document.unobserve(subscription)
    return updates


PEER = CrdtPeer("pycrdt", Document, _updates)
