"""Two tasks work on copies of one replica, as if each were a replica of its own."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdts import (
    DWFlag,
    EWFlag,
    GCounter,
    GSet,
    MVRegister,
    Operation,
    ORMap,
    ORSet,
    PNCounter,
    RWSet,
    Text,
    TwoPhaseSet,
)

elements = st.sampled_from(["x", "y", "z"])
amounts = st.integers(0, 3)


def method(name, *arguments):
    return st.builds(lambda *given: lambda value: getattr(value, name)(*given), *arguments)


clear = method("clear")
adding = method("add", elements)
removing = method("remove", elements)
counting = method("increment", amounts)
switching = method("enable") | method("disable")
COMMANDS = {
    GCounter: counting | clear,
    PNCounter: counting | method("decrement", amounts) | clear,
    GSet: adding | clear,
    ORSet: adding | removing | clear,
    RWSet: adding | removing | clear,
    TwoPhaseSet: adding | removing | clear,
    EWFlag: switching | clear,
    DWFlag: switching | clear,
    MVRegister: method("assign", elements) | clear,
    ORMap: method("update", st.just("set"), st.just(ORSet), adding | removing | clear)
    | method("update", st.just("counter"), st.just(PNCounter), counting | clear)
    | method("remove", st.sampled_from(["set", "counter"]))
    | clear,
}


CHANGES = {
    GCounter: ("increment",),
    PNCounter: ("decrement",),
    GSet: ("add", "x"),
    ORSet: ("add", "x"),
    RWSet: ("remove", "x"),
    TwoPhaseSet: ("remove", "x"),
    EWFlag: ("enable",),
    DWFlag: ("disable",),
    MVRegister: ("assign", "x"),
    ORMap: ("remove", "k"),
}


@pytest.mark.parametrize("crdt_type", COMMANDS, ids=lambda crdt_type: crdt_type.type_name)
def test_what_a_copy_did_counts_as_if_another_replica_had_done_it(crdt_type):
    some = st.lists(COMMANDS[crdt_type], max_size=4)

    @settings(max_examples=60, deadline=None, database=None)
    @given(some, some, some, some)
    def check(before, in_the_copy, meanwhile, remotely):
        def run(copy_id):
            """The same history, with the copy under an id of its own or under that of the original."""
            original, remote = crdt_type("a"), crdt_type("b")
            for command in before:
                remote.apply(command(original))
            copy, prepared = original.copy(copy_id), []
            copy.listen(prepared.append)
            for command in in_the_copy:
                command(copy)
            for command in remotely:
                original.apply(command(remote))
            for command in meanwhile:
                remote.apply(command(original))
            return original, remote, prepared

        expected, _, apart = run("c")
        for operation in apart:
            expected.apply(operation)
        original, remote, prepared = run("a")
        for operation in original.adopt(prepared):
            remote.apply(Operation.from_bytes(operation.to_bytes()))

        assert original.value == remote.value == expected.value
        assert original == remote
        by_state = remote.copy("d")
        by_state.merge(original)
        assert by_state == original

    check()


def test_what_two_tasks_typed_into_copies_is_all_there():
    text, remote = Text("a"), Text("b")
    remote.apply(text.insert(0, "one three"))
    copies = [text.copy(), text.copy()]
    prepared = [[], []]
    for copy, collected in zip(copies, prepared, strict=True):
        copy.listen(collected.append)
    copies[0].insert(4, "two ")
    copies[1].insert(9, " four")
    copies[1].delete(0, 4)

    for collected in prepared:
        for operation in text.adopt(collected):
            remote.apply(operation)

    assert text.value == remote.value == "two three four"


@pytest.mark.parametrize("crdt_type", COMMANDS, ids=lambda crdt_type: crdt_type.type_name)
def test_a_copy_that_is_reloaded_goes_on_from_there(crdt_type):
    name, *arguments = CHANGES[crdt_type]

    def change(replica):
        getattr(replica, name)(*arguments)

    original, prepared = crdt_type("a"), []
    copy = original.copy()
    copy.listen(prepared.append)
    change(copy)
    change(original)
    original.adopt(prepared)
    prepared.clear()

    copy.reload(original)
    assert copy == original
    change(copy)

    assert original.adopt(prepared) == prepared
    assert copy == original
    assert original.version == {"a": 3}
