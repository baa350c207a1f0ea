"""What each type promises: its commands, and its value as a pure function of the visible history.

A clear undoes what it has seen and nothing else, for every type alike, so each specification is written for histories
without clears: `h` is what no clear has seen.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from itertools import pairwise
from typing import Any

from crdts.bounded_counter import BoundedCounter
from crdts.counters import GCounter, PNCounter
from crdts.elements import identify
from crdts.flags import DWFlag, EWFlag
from crdts.lww_map import LWWMap
from crdts.maps import ORMap
from crdts.registers import LWWRegister, MVRegister
from crdts.sequence import RGA
from crdts.sets import GSet, ORSet, RWSet, TwoPhaseSet
from crdts.testing import Command, History, Issued
from crdts.testing.rendering import rendered
from crdts.text import Text

Specification = Callable[[History], Any]


def elementwise(specification: Specification) -> Specification:
    """Brings the elements in a history to their canonical form first: `True` in a set is `1`."""
    return lambda h: specification(
        h.uncleared().translated(lambda each: each.saying(Command(each.method, tuple(map(identify, each.args)))))
    )


def amount(each: Issued) -> int:
    return each.args[0] if each.args else 1


# counters


def g_counter(h: History) -> int:
    return sum(amount(each) for each in h.of("increment"))


def pn_counter(h: History) -> int:
    return sum(amount(each) for each in h.of("increment")) - sum(amount(each) for each in h.of("decrement"))


def bounded_counter(h: History) -> Any:
    """As PNCounter; a clear voids the rights it has seen, but not those that are concurrently transferred or spent."""
    if not h.of("clear"):
        return pn_counter(h)
    kept = h.uncleared()
    return lambda value: max(0, pn_counter(kept)) <= value <= g_counter(kept) + sum(map(amount, kept.of("transfer")))


# sets


def g_set(h: History) -> set[Any]:
    return {add.args[0] for add in h.of("add")}


def two_phase_set(h: History) -> set[Any]:
    return {add.args[0] for add in h.of("add") if not h.of("remove", *add.args)}


def or_set(h: History) -> set[Any]:
    """An element is in the set iff some add of it has no remove of it after it."""
    return {add.args[0] for add in h.of("add") if not h.after(add, "remove", *add.args)}


def rw_set(h: History) -> set[Any]:
    """An element is in the set iff it was added and every remove of it has an add of it after it."""
    return {add.args[0] for add in h.of("add") if all(h.after(r, "add", *add.args) for r in h.of("remove", *add.args))}


# flags


def ew_flag(h: History) -> bool:
    """On iff some enable has no disable after it."""
    return any(not h.after(enable, "disable") for enable in h.of("enable"))


def dw_flag(h: History) -> bool:
    """On iff it was enabled and every disable has an enable after it."""
    return bool(h.of("enable")) and all(h.after(disable, "enable") for disable in h.of("disable"))


# registers: what a write without a timestamp gets depends on what its writer saw, cleared later or not


def lww_register(h: History) -> Any:
    """Of the writes that no other has seen, the one with the highest timestamp, then replica id."""
    latest = h.uncleared().latest("assign")
    return max(latest, key=lambda write: (timestamp(write, h), write.replica_id)).args[0] if latest else None


def timestamp(write: Issued, h: History) -> float:
    """The given one, or one above the highest of the writes that were not overwritten when it was made."""
    given, seen = write.args[1:] or (None,), h.past(write)
    standing = (timestamp(each, seen) for each in seen.uncleared().latest("assign"))
    return given[0] if given[0] is not None else 1 + max(standing, default=0)


def mv_register(h: History) -> AbstractSet[Any]:
    """All writes that no other has seen; should 1 and True be among them, a set can hold only one."""
    return dict.fromkeys(sorted((write.args[0] for write in h.latest("assign")), key=repr)).keys()


# maps


def lww_map(h: History) -> dict[Any, Any]:
    """For each key a register; removing the key writes that there is nothing."""
    keys = {identify(each.args[0]) for each in h if each.method != "clear"}
    shown = {key: lww_register(h.translated(partial(write_to, key))) for key in keys}
    return {key: value for key, value in shown.items() if value not in (None, ABSENT)}


ABSENT = object()


def write_to(key: Any, each: Issued) -> Issued | None:
    """What is done to one key; its timestamp is the operation's, since a removal that is stable is not counted from."""
    if each.method == "clear":
        return each
    written = each.args[1] if each.method == "assign" else ABSENT
    chosen = each.operation.argument[1]
    return each.saying(Command("assign", (written, chosen))) if identify(each.args[0]) == key else None


def or_map(h: History) -> Any:
    """A key is there iff some update of it has no remove of it after it; the remove has cleared the value it saw."""
    types: dict[Any, type[Any]] = {}
    for update in h.uncleared().of("update"):
        key, crdt_type, _ = update.args
        if not h.after(update, "remove", key):
            types[key] = min(crdt_type, types.get(key, crdt_type), key=lambda each: each.__name__)
    expected = {key: IN_MAPS[crdt_type](inside(h, key, crdt_type)) for key, crdt_type in types.items()}
    if not any(map(callable, expected.values())):
        return expected
    return lambda value: value.keys() == expected.keys() and all(agrees(value[key], expected[key]) for key in value)


def inside(h: History, key: Any, crdt_type: type[Any]) -> History:
    """The history of the value under a key, as far as it is of that type."""

    def translated(each: Issued) -> Issued | None:
        past_value = each.past_value.get(key, crdt_type("x").value)
        if each.method == "update":
            return each.saying(each.args[2], past_value=past_value) if each.args[:2] == (key, crdt_type) else None
        return (
            each.saying(Command("clear"), past_value=past_value)
            if each.method == "clear" or each.args[0] == key
            else None
        )

    return h.translated(translated)


def agrees(value: Any, expected: Any) -> bool:
    return expected(value) if callable(expected) else rendered(value) == rendered(expected)


# sequences: all elements are different, so what a command meant is told by what was to be seen when it was given


def sequence(h: History) -> Callable[[Any], bool]:
    """The surviving elements, each where somebody saw it, and nothing concurrent in what was typed together."""
    insertions = h.of("insert") + h.of("append")
    author = {element: each for each in insertions for element in inserted(each)}
    return lambda value: (
        sorted(value) == sorted(elements_of(h))
        and all(in_order(value, [*before(each), *inserted(each), *after(each)]) for each in insertions)
        and not any(
            h.concurrent(author[stranger], author[one]) and h.concurrent(author[stranger], author[other])
            for each in insertions
            for one, other in typed_together(each, author)
            for stranger in between(value, one, other)
        )
    )


def elements_of(h: History) -> set[Any]:
    added = {element for each in h.of("insert") + h.of("append") for element in inserted(each)}
    return added - {element for each in h.of("delete") for element in removed(each)}


def sequence_in_map(h: History) -> Callable[[Any], bool]:
    """A key that is removed leaves nothing behind, so what was concurrently inserted has lost what it stood beside."""
    kept = h.uncleared()
    return sequence(kept) if not h.of("clear") else lambda value: sorted(value) == sorted(elements_of(kept))


def place(insertion: Issued) -> int:
    return insertion.args[0] if insertion.method == "insert" else len(insertion.past_value)


def before(insertion: Issued) -> Sequence[Any]:
    return insertion.past_value[: place(insertion)]


def inserted(insertion: Issued) -> Sequence[Any]:
    return insertion.args[-1] if isinstance(insertion.past_value, str) else [insertion.args[-1]]


def after(insertion: Issued) -> Sequence[Any]:
    return insertion.past_value[place(insertion) :]


def removed(deletion: Issued) -> Sequence[Any]:
    at, count = (*deletion.args, 1)[:2]
    return deletion.past_value[at : at + count]


def in_order(value: Sequence[Any], seen: Sequence[Any]) -> bool:
    return [each for each in value if each in seen] == [each for each in seen if each in value]


def typed_together(each: Issued, author: Mapping[Any, Issued]) -> Iterator[tuple[Any, Any]]:
    """Neighbours of which one was typed right after the other, forwards (ab) or backwards (ba)."""
    yield from pairwise([*before(each)[-1:], *inserted(each)])
    for right in after(each)[:1]:
        if right in author and [*before(author[right])[-1:], right] == [*before(each)[-1:], inserted(author[right])[0]]:
            yield inserted(each)[-1], right


def between(value: Sequence[Any], one: Any, other: Any) -> Sequence[Any]:
    return value[value.index(one) : value.index(other)] if one in value and other in value else []


SPECIFICATIONS: dict[type[Any], Specification] = {
    GCounter: lambda h: g_counter(h.uncleared()),
    PNCounter: lambda h: pn_counter(h.uncleared()),
    BoundedCounter: bounded_counter,
    GSet: elementwise(g_set),
    TwoPhaseSet: elementwise(two_phase_set),
    ORSet: elementwise(or_set),
    RWSet: elementwise(rw_set),
    EWFlag: lambda h: ew_flag(h.uncleared()),
    DWFlag: lambda h: dw_flag(h.uncleared()),
    LWWRegister: lww_register,
    MVRegister: lambda h: mv_register(h.uncleared()),
    LWWMap: lww_map,
    ORMap: or_map,
    RGA: lambda h: sequence(h.uncleared()),
    Text: lambda h: sequence(h.uncleared()),
}

IN_MAPS = {**SPECIFICATIONS, RGA: sequence_in_map, Text: sequence_in_map}
