"""`Ledger`: what was acknowledged, written down by who was told; whatever it names must be on every replica.

Replicas that agree could have lost the same thing. So the director notes each write before it is sent and when it is
acknowledged, and at the end looks for every one of them on every replica, and for anything that nobody wrote.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import zip_longest
from typing import Any

Json = Any
"""What JSON can say."""


def fingerprint(*said: Any) -> str:
    """Return a text that stands for plain data."""
    return blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=6).hexdigest()


@dataclass
class Total:
    """What was added to a counter: at least what was acknowledged, at most what was tried."""

    acknowledged: int = 0
    tried: int = 0


@dataclass
class Elements:
    """What was done to a set of which each element is added once."""

    acknowledged: set[str] = field(default_factory=set)
    tried: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)


@dataclass
class Ledger:
    """All writes of a demonstration.

    Attributes:
        events: the fingerprints of acknowledged events, in order, by stream and by who wrote them.
        unanswered: the event that was sent last, if it was not acknowledged: it may be there or not.
        totals: by counter.
        elements: by set.
        writes: how many were acknowledged.
    """

    events: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    unanswered: dict[tuple[str, str], str] = field(default_factory=dict)
    totals: dict[str, Total] = field(default_factory=lambda: defaultdict(Total))
    elements: dict[str, Elements] = field(default_factory=lambda: defaultdict(Elements))
    writes: int = 0

    def event(self, replica_id: str, stream: str, said: str) -> None:
        """Note an acknowledged event."""
        self.events[stream, replica_id].append(said)
        self.unanswered.pop((stream, replica_id), None)
        self.writes += 1

    def count(self, key: str, by: int) -> None:
        """Note an acknowledged increment."""
        self.totals[key].acknowledged += by
        self.writes += 1

    def element(self, key: str, element: str) -> None:
        """Note an element that was acknowledged."""
        self.elements[key].acknowledged.add(element)
        self.writes += 1

    def removal(self, key: str, element: str) -> None:
        """Note an element whose removal was acknowledged."""
        self.elements[key].removed.add(element)
        self.writes += 1

    def missing(self, inventory: Any, about: Collection[str] | None = None) -> Iterator[str]:
        """Yield what is not on a replica as it was acknowledged, and what is there that nobody wrote.

        Args:
            inventory: all that the replica holds.
            about: the keys and streams looked at; None: all.
        """
        yield from self._missing_events(inventory["streams"], about)
        for key, total in self.totals.items():
            value = _value(inventory, key, 0)
            if (about is None or key in about) and not total.acknowledged <= value <= total.tried:
                yield f"{key} is {value}, {total.acknowledged} were acknowledged and {total.tried} tried"
        for key, elements in self.elements.items():
            if about is None or key in about:
                yield from _missing_elements(key, elements, set(_value(inventory, key, [])))

    def _missing_events(self, streams: dict[str, list[list[str]]], about: Collection[str] | None) -> Iterator[str]:
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for stream, records in streams.items():
            for _, replica_id, said in records:
                found[stream, replica_id].append(said)
        for place in sorted({*self.events, *found}):
            if about is None or place[0] in about:
                acknowledged = list(self.events.get(place, []))
                there = found.get(place, [])
                if len(there) > len(acknowledged) and place in self.unanswered:
                    acknowledged.append(self.unanswered[place])
                yield from _differences(place, acknowledged, there)


def _missing_elements(key: str, elements: Elements, found: set[str]) -> Iterator[str]:
    for element in sorted(elements.acknowledged - elements.removed - found):
        yield f"{key} has no {element!r}, which was acknowledged"
    for element in sorted((found & elements.removed) | (found - elements.tried)):
        yield f"{key} has {element!r}, which should not be there"


def _value(inventory: Any, key: str, default: Any) -> Any:
    _, value, _ = inventory["keys"].get(key, ("", default, {}))
    return value


def _differences(place: tuple[str, str], acknowledged: list[str], found: list[str]) -> Iterator[str]:
    for number, (expected, actual) in enumerate(zip_longest(acknowledged, found), 1):
        if expected != actual:
            stream, replica_id = place
            what = "is missing" if actual is None else "was never acknowledged" if expected is None else "is another"
            yield f"event {number} of {replica_id} in stream {stream!r} {what}"
            return
