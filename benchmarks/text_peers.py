"""Editing one text with other libraries, and with plain Python objects."""

# mypy: disable-error-code="no-untyped-call"

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple, TypeAlias

try:
    import pycrdt
except ImportError:  # it is measured if it is installed
    pycrdt = None  # type: ignore[assignment]
try:
    import loro
except ImportError:
    loro = None  # type: ignore[assignment]

Edit: TypeAlias = tuple[int, int, str]


class TextPeer(NamedTuple):
    """Something to edit a text with.

    Attributes:
        name: what it is.
        replay: carries out edits, each in a transaction of its own, and returns the text.
        state: carries them out and returns what is saved.
    """

    name: str
    replay: Callable[[Sequence[Edit]], str]
    state: Callable[[Sequence[Edit]], bytes]


def text_peers() -> list[TextPeer]:
    """Return the libraries that are installed."""
    found = []
    if pycrdt is not None:
        found.append(TextPeer(f"pycrdt {version('pycrdt')}", lambda edits: str(_pycrdt(edits)[1]), _pycrdt_state))
    if loro is not None:
        found.append(TextPeer(f"loro {version('loro')}", lambda edits: _loro(edits)[1].to_string(), _loro_state))
    return found


def naive_list(edits: Sequence[Edit]) -> str:
    """Carry out edits on a list of all characters ever, deleted ones marked: the textbook's RGA, its index linear."""
    elements: list[str] = []
    visible: list[bool] = []
    for index, deleted, inserted in edits:
        place = _place(visible, index)
        for _ in range(deleted):
            place = _place(visible, index + 1) - 1
            visible[place] = False
        elements[place:place] = inserted
        visible[place:place] = [True] * len(inserted)
    return "".join(each for each, shown in zip(elements, visible, strict=True) if shown)


def _place(visible: list[bool], index: int) -> int:
    """Return how many elements there are up to the index-th visible one."""
    place = 0
    while index:
        index -= visible[place]
        place += 1
    return place


def plain_list(edits: Sequence[Edit]) -> str:
    """Carry out edits on a list of characters: no CRDT, and the least that Python can do."""
    characters: list[str] = []
    for index, deleted, inserted in edits:
        characters[index : index + deleted] = inserted
    return "".join(characters)


def _pycrdt(edits: Sequence[Edit]) -> tuple[Any, Any]:
    document: pycrdt.Doc[pycrdt.Text] = pycrdt.Doc()
    text = document.get("text", type=pycrdt.Text)
    for index, deleted, inserted in edits:
        with document.transaction():
            if deleted:
                del text[index : index + deleted]
            if inserted:
                text.insert(index, inserted)
    return document, text


def _pycrdt_state(edits: Sequence[Edit]) -> bytes:
    return bytes(_pycrdt(edits)[0].get_update())


def _loro(edits: Sequence[Edit]) -> tuple[Any, Any]:
    document = loro.LoroDoc()
    text = document.get_text("text")
    for index, deleted, inserted in edits:
        if deleted:
            text.delete(index, deleted)
        if inserted:
            text.insert(index, inserted)
        document.commit()
    return document, text


def _loro_state(edits: Sequence[Edit]) -> bytes:
    return bytes(_loro(edits)[0].export(loro.ExportMode.Snapshot()))
