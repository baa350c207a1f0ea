"""`Damage`: one thing that is not whole, and where."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

DAMAGES_MAX = 1_000
"""How many damages each check reports at most; more say nothing new."""


@dataclass(frozen=True)
class Damage:
    """One thing that is not whole.

    Attributes:
        place: where: a page, a position, a stream, a file.
        reason: what is wrong there.
    """

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


def guarded(place: str, damages: Iterable[Damage]) -> Iterator[Damage]:
    """Yield damages; what a check stumbles over, in a file that may hold anything, is one more of them."""
    try:
        yield from damages
    except Exception as error:
        yield Damage(place, f"cannot be read: {type(error).__name__}: {error}")


def spans(name: str, numbers: Iterable[int]) -> Iterator[str]:
    """Yield "page 3", "pages 5 to 9" for ascending numbers."""
    first = last = None
    for number in numbers:
        if first is None or last is None or number != last + 1:
            yield from _span(name, first, last)
            first = number
        last = number
    yield from _span(name, first, last)


def _span(name: str, first: int | None, last: int | None) -> Iterator[str]:
    if first is not None:
        yield f"{name} {first}" if first == last else f"{name}s {first} to {last}"
