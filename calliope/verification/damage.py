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
    """Yield the first damages; what a check stumbles over, in a file that may hold anything, is one more of them."""
    try:
        for number, damage in enumerate(damages):
            if number < DAMAGES_MAX:
                yield damage
    except Exception as error:
        yield Damage(place, f"cannot be read: {type(error).__name__}: {error}")


def span(name: str, first: int, last: int) -> str:
    """Return "page 3", or "pages 5 to 9"."""
    return f"{name} {first}" if first == last else f"{name}s {first} to {last}"
