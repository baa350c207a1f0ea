"""What may be done to each type under test, and the table of all types with what must come of it."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st

from crdts.bounded_counter import BoundedCounter
from crdts.counters import GCounter, PNCounter
from crdts.flags import DWFlag, EWFlag
from crdts.lww_map import LWWMap
from crdts.maps import ORMap
from crdts.registers import LWWRegister, MVRegister
from crdts.sequence import RGA
from crdts.sets import GSet, ORSet, RWSet, TwoPhaseSet
from crdts.testing import REFUSALS, Command, check_convergence
from crdts.text import Text
from tests.property.crdt_specifications import SPECIFICATIONS, Specification, bounded_counter, or_map


@dataclass(frozen=True)
class Subject:
    """A type under test, with what may be done to it and what must come of it."""

    crdt_type: type[Any]
    commands: Any
    specification: Specification
    refusals: tuple[type[Exception], ...] = REFUSALS

    def check(self, *, crdt_type: type[Any] | None = None, **arguments: Any) -> None:
        """Checks the type, or another one in its place."""
        check_convergence(
            crdt_type or self.crdt_type,
            self.commands,
            specification=self.specification,
            refusals=self.refusals,
            **arguments,
        )


def command(method: str, *arguments: Any) -> st.SearchStrategy[Command]:
    """A strategy for commands of one method; `arguments` are the strategies of its arguments."""
    return st.builds(Command, st.just(method), st.tuples(*arguments))


clear = command("clear")
amounts = st.integers(0, 5)
# Equal numbers are one element: 1, True and 1.0 stand for each other in sets and as keys.
elements = st.sampled_from(["x", "y", 1, True, 1.0, ("x", 1)])
keys = st.sampled_from(["k", "l", 1, True])
values = st.sampled_from(["x", "y", 1, True])
timestamps = st.sampled_from([None, None, 0, 1, 5, 7])
adds, removes = command("add", elements), command("remove", elements)
switches = st.one_of(command("enable"), command("disable"))
counts = st.one_of(command("increment", amounts), command("decrement", amounts), command("decrement"))
assignments = st.one_of(command("assign", values), command("assign", values))


def updates(key: str, crdt_type: type[Any], change: st.SearchStrategy[Command]) -> st.SearchStrategy[Command]:
    return command("update", st.just(key), st.just(crdt_type), change)


inner_maps = st.one_of(
    updates("n", PNCounter, counts),
    updates("s", ORSet, st.one_of(adds, adds, removes)),
    command("remove", st.sampled_from("ns")),
)


# Sequences: the places there are depend on the replica, and every element is new, so that it is known for itself.


@cache
def up_to(number: int) -> st.SearchStrategy[int]:
    return st.integers(0, number)


edits = st.sampled_from(["insert", "insert", "append", "delete", "clear"])


@st.composite
def list_edit(draw: Any, size: int, replica_id: str, number: int) -> Command:
    """An insertion anywhere, also where there is no place any more; an appending; a deletion; a clear."""
    element = f"{replica_id}{number}"
    match draw(edits):
        case "insert":
            return Command("insert", (draw(up_to(size + 1)), element))
        case "append":
            return Command("append", (element,))
        case "delete":
            return Command("delete", (draw(up_to(size)),))
    return Command("clear")


@st.composite
def text_edit(draw: Any, size: int, replica_id: str, number: int) -> Command:
    """As for a list, in runs; each replica has an alphabet of its own, 8 letters of it for each operation."""
    first = 0x4E00 + "abcdefghij".index(replica_id) * 0x400 + number * 8
    match draw(edits):
        case "insert" | "append":
            run = "".join(map(chr, range(first, first + 1 + draw(up_to(3)))))
            return Command("insert", (draw(up_to(size + 1)), run))
        case "delete":
            return Command("delete", (draw(up_to(size)), 1 + draw(up_to(2))))
    return Command("clear")


def list_edits(replica: Any) -> st.SearchStrategy[Command]:
    return list_edit(len(replica.value), replica.replica_id, replica.version[replica.replica_id])


def text_edits(replica: Any) -> st.SearchStrategy[Command]:
    return text_edit(len(replica.value), replica.replica_id, replica.version[replica.replica_id])


@st.composite
def edit_in_map(draw: Any, list_size: int, text_size: int, replica_id: str, number: int) -> Command:
    match draw(st.sampled_from(["list", "list", "text", "text", "remove", "clear"])):
        case "list":
            return Command("update", ("list", RGA, draw(list_edit(list_size, replica_id, number))))
        case "text":
            return Command("update", ("text", Text, draw(text_edit(text_size, replica_id, number))))
        case "remove":
            return Command("remove", (draw(st.sampled_from(["list", "text"])),))
    return Command("clear")


def edits_in_map(replica: Any) -> st.SearchStrategy[Command]:
    value, number = replica.value, replica.version[replica.replica_id]
    return edit_in_map(len(value.get("list", "")), len(value.get("text", "")), replica.replica_id, number)


COMMANDS = {
    GCounter: st.one_of(command("increment", amounts), command("increment"), clear),
    PNCounter: st.one_of(counts, clear),
    BoundedCounter: st.one_of(
        command("increment", amounts),
        command("decrement", amounts),
        command("transfer", amounts, st.sampled_from("abcz")),
    ),
    GSet: st.one_of(adds, adds, clear),
    TwoPhaseSet: st.one_of(adds, adds, removes, clear),
    ORSet: st.one_of(adds, adds, removes, clear),
    RWSet: st.one_of(adds, adds, removes, clear),
    EWFlag: st.one_of(switches, clear),
    DWFlag: st.one_of(switches, clear),
    LWWRegister: st.one_of(command("assign", values, timestamps), command("assign", values), clear),
    MVRegister: st.one_of(assignments, clear),
    LWWMap: st.one_of(
        command("assign", keys, values, timestamps),
        command("assign", keys, values),
        command("remove", keys, timestamps),
        clear,
    ),
    ORMap: st.one_of(
        inner_maps,
        updates("r", MVRegister, assignments),
        updates("f", DWFlag, switches),
        updates("m", ORMap, inner_maps),
        command("remove", st.sampled_from("nsrfm")),
        clear,
    ),
    RGA: list_edits,
    Text: text_edits,
}

clashing = st.one_of(updates("k", PNCounter, counts), updates("k", ORSet, adds), command("remove", st.just("k")), clear)

SUBJECTS = {
    **{each.__name__: Subject(each, COMMANDS[each], SPECIFICATIONS[each]) for each in SPECIFICATIONS},
    "BoundedCounter that is cleared": Subject(
        BoundedCounter, st.one_of(COMMANDS[BoundedCounter], COMMANDS[BoundedCounter], clear), bounded_counter
    ),
    "ORMap of sequences": Subject(ORMap, edits_in_map, or_map),
    "ORMap of clashing types": Subject(ORMap, clashing, or_map, refusals=(*REFUSALS, TypeError)),
}
