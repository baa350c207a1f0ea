"""Editing one text with other libraries that are written in Python alone."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import NamedTuple

from benchmarks.text_peers import Edit

try:
    from vuer_rtc.crdt import rope
except ImportError:  # it is measured if it is installed
    rope = None
try:
    from nexus.map import NexusMap
except ImportError:
    NexusMap = None


class PythonPeer(NamedTuple):
    """Something to edit a text with.

    Attributes:
        name: what it is.
        replay: carries out edits, each for itself, and returns the text.
    """

    name: str
    replay: Callable[[Sequence[Edit]], str]


def python_peers() -> list[PythonPeer]:
    """Return the libraries that are installed."""
    found = []
    if rope is not None:
        name = f"vuer-rtc {version('vuer-rtc')}"
        found.append(PythonPeer(f"{name}: insert", lambda edits: _vuer_rtc(edits, rope.insert)))
        found.append(PythonPeer(f"{name}: insert_with_split", lambda edits: _vuer_rtc(edits, rope.insert_with_split)))
    if NexusMap is not None:
        found.append(PythonPeer(f"nexus-crdt {version('nexus-crdt')}: TextHandle", _nexus))
    return found


def _vuer_rtc(edits: Sequence[Edit], insert: Callable[..., object]) -> str:
    text = rope.create("a")
    for index, deleted, inserted in edits:
        if deleted:
            rope.remove(text, index, deleted)
        if inserted:
            insert(text, index, inserted)
    return str(rope.get_text(text))


def _nexus(edits: Sequence[Edit]) -> str:
    text = NexusMap("a").text("text")
    for index, deleted, inserted in edits:
        if deleted:
            text.delete(index, deleted)
        if inserted:
            text.insert(index, inserted)
    return str(text)
