"""The kit itself: what it does in a step, what it tells, and that each broken promise is seen."""

from math import nan

import pytest
from hypothesis import strategies as st

from crdts.errors import CausalityError
from crdts.operation import Operation
from crdts.sets import ORSet, RWSet
from crdts.testing import Cluster, Command, Discrepancy, check_convergence
from crdts.testing.rendering import rendered

add_x, add_y = Command("add", ("x",)), Command("add", ("y",))
remove_x, clear = Command("remove", ("x",)), Command("clear")
commands = st.sampled_from([add_x, remove_x, add_y, clear])


def or_set(h):
    return {add.args[0] for add in h.uncleared().of("add") if not h.after(add, "remove", *add.args)}


def story_of(crdt_type, commands=commands, **arguments):
    with pytest.raises(Discrepancy) as failure:
        check_convergence(crdt_type, commands, max_examples=2000, seed=1, **arguments)
    return str(failure.value).splitlines()


# rendering


def test_values_that_python_calls_equal_are_told_apart_as_they_print():
    assert len({rendered(value) for value in (1, True, 1.0, "1", b"1", (1,), [1], {1})}) == 8


def test_values_that_no_user_could_tell_apart_print_alike():
    assert rendered({"a", "b"}) == rendered(frozenset({"b", "a"})) == "{'a', 'b'}"
    assert rendered({"a": {1}, "b": [nan]}) == rendered({"b": [nan], "a": {1}}) == "{'a': {1}, 'b': [nan]}"


def test_a_command_prints_as_one_would_say_it():
    assert str(add_x) == "add 'x'"
    assert str(clear) == "clear"
    assert str(Command("update", ("basket", ORSet, add_x))) == "update 'basket', ORSet, add 'x'"


# history


def test_a_history_knows_what_had_seen_what():
    cluster = Cluster(ORSet)
    a, b, _ = cluster.members
    cluster.issue(a, add_x)
    cluster.issue(b, add_x)
    cluster.deliver(b, cluster.issued[0])
    cluster.issue(b, remove_x)
    cluster.merge(a, b)
    h = cluster.history(a)
    by_a, by_b, removal = h
    assert h.before(by_a, removal)
    assert h.before(by_b, removal)
    assert not h.before(removal, by_a)
    assert h.concurrent(by_a, by_b)
    assert not h.concurrent(by_a, by_a)
    assert h.after(by_a, "remove", "x") == [removal]
    assert h.latest("add") == [by_a, by_b]
    assert [each.past_value for each in h] == [set(), set(), {"x"}]
    assert list(h.past(removal)) == [by_a, by_b]
    assert len(h.past(by_a)) == 0


def test_arguments_in_a_history_are_told_apart_by_type():
    cluster = Cluster(ORSet)
    cluster.issue(cluster.members[0], Command("add", (1,)))
    h = cluster.history(cluster.members[0])
    assert len(h.of("add", 1)) == 1
    assert h.of("add", True) == h.of("add", 1.0) == h.of("add", 1, 2) == []


def test_an_uncleared_history_lacks_what_a_clear_had_seen_and_the_clear():
    cluster = Cluster(ORSet)
    a, b, _ = cluster.members
    cluster.issue(a, add_x)
    cluster.issue(b, add_y)
    cluster.issue(a, clear)
    cluster.merge(a, b)
    assert [str(each.command) for each in cluster.history(a).uncleared()] == ["add 'y'"]


def test_a_translated_history_keeps_the_order_and_leaves_out_what_has_no_translation():
    cluster = Cluster(ORSet)
    a = cluster.members[0]
    for each in (add_x, add_y, remove_x):
        cluster.issue(a, each)
    h = cluster.history(a).translated(lambda each: each.saying(clear) if "x" in each.args else None)
    first, second = h
    assert first.command == second.command == clear
    assert (first.index, second.index) == (0, 2)
    assert h.before(first, second)


# steps


def test_what_is_stable_has_nothing_concurrent_under_way():
    cluster = Cluster(ORSet)
    a, b, c = cluster.members
    cluster.issue(a, add_x)
    cluster.issue(b, add_y)
    for member in (b, c):
        cluster.deliver(member, cluster.issued[0])
    assert a.replica.version.meet(b.replica.version).meet(c.replica.version) == {"a": 1}
    assert cluster.stable_version(a.seen) == {}
    assert cluster.stable_version(b.seen) == {"a": 1}


def test_a_story_numbers_what_is_done_twice():
    cluster = Cluster(ORSet)
    a, b, _ = cluster.members
    cluster.issue(a, add_x)
    cluster.issue(a, add_x)
    cluster.deliver_early(b, cluster.issued[1])
    cluster.deliver(b, cluster.issued[0], as_bytes=True)
    cluster.deliver_again(b, cluster.issued[0])
    cluster.stabilize(a)
    cluster.leave_behind(a)
    cluster.read_back(a)
    cluster.merge(b, a)
    cluster.merge(a, cluster.left_behind[0])
    assert str(cluster.story).splitlines() == [
        "a: add 'x'",
        "a: add 'x'",
        "deliver a→b add 'x' (no. 2) before its past",
        "deliver a→b add 'x' as bytes",
        "deliver a→b add 'x' again",
        "stabilize a at {}",
        "a becomes its copy",
        "a from its bytes",
        "merge b←a",
        "merge a←former a",
    ]


def test_commands_that_are_no_pairs_are_refused():
    with pytest.raises(TypeError, match=r"a command is a pair \(method name, tuple of arguments\), not 'add'"):
        check_convergence(ORSet, st.just("add"))


def test_commands_may_depend_on_the_replica():
    seen = set()

    def remove_what_is_there(replica):
        seen.add(replica.value)
        return st.sampled_from([add_x, *(Command("remove", (each,)) for each in replica.value)])

    check_convergence(ORSet, remove_what_is_there, specification=or_set)
    assert seen == {frozenset(), frozenset({"x"})}


# broken promises


class Refusing(ORSet):
    def add(self, element):
        if element in self:
            raise IndexError(element)
        return super().add(element)


class RefusingTooLate(ORSet):
    def add(self, element):
        operation = super().add(element)
        if element == "y":
            raise IndexError(element)
        return operation


def test_a_refused_command_is_no_failure():
    check_convergence(Refusing, commands, specification=or_set)


def test_a_refused_command_that_changed_something_is():
    assert story_of(RefusingTooLate) == [
        "a: add 'y' is refused (IndexError)",
        "expect a.version unchanged: {'a': 1} != {}",
    ]


class NothingReturned(ORSet):
    def remove(self, element):
        super().remove(element)


def test_a_command_that_returns_nothing_may_change_nothing():
    assert story_of(NothingReturned) == ["a: remove 'x'", "expect a.version unchanged: {'a': 1} != {}"]


class NotCounted(ORSet):
    def remove(self, element):
        operation = super().remove(element)
        self._clock.counter -= 1
        return operation


def test_an_operation_without_a_dot_of_its_own_is_seen():
    assert story_of(NotCounted) == ["a: remove 'x'", "expect the operation to be counted: a.version is still {}"]


class Impatient(ORSet):
    def apply(self, operation):
        try:
            return super().apply(operation)
        except CausalityError:
            return False


def test_an_operation_accepted_before_its_past_is_seen():
    story = story_of(Impatient)
    assert story[-2].endswith(" (no. 2) before its past")
    assert story[-1] == "expect a CausalityError: the operation's past is missing"


class Silent(ORSet):
    def apply(self, operation):
        super().apply(operation)


def test_apply_must_say_whether_the_operation_was_new():
    assert story_of(Silent)[-1] == "expect apply to return True: the operation is new"


class Repeating(ORSet):
    def apply(self, operation):
        super().apply(operation)
        return True


def test_apply_must_say_that_the_operation_was_seen_before():
    assert story_of(Repeating) == [
        "a: add 'x'",
        "deliver a→a add 'x' again",
        "expect apply to return False: the operation is a duplicate",
    ]


class Failing(ORSet):
    def apply(self, operation):
        if operation.action == "remove" and operation.argument not in self:
            raise KeyError(operation.argument)
        return super().apply(operation)


def test_an_error_out_of_the_type_is_told_in_the_story():
    assert story_of(Failing) == ["a: remove 'x'", "deliver a→b remove 'x' raised KeyError: 'x'"]


class GarbledOperation(Operation):
    @classmethod
    def from_bytes(cls, data):
        operation = super().from_bytes(data)
        operation.argument = "y"
        return operation


class Garbling(ORSet):
    def add(self, element):
        sent = super().add(element)
        return GarbledOperation(sent.replica_id, sent.counter, sent.others, sent.type_name, sent.action, sent.argument)


def test_bytes_that_turn_an_operation_into_another_are_seen():
    story = story_of(Garbling)
    assert story[:-1] == ["a: add 'x'", "deliver a→b add 'x' as bytes"]
    assert story[-1].startswith("expect the operation from its bytes: ")


class Restless(RWSet):
    def apply(self, operation):
        is_new = super().apply(operation)
        if not is_new:
            self._adds.dots["never"], self._removes.dots["never"] = (next(iter(self._adds.dots.values())),) * 2
        return is_new


def test_a_duplicate_that_changes_what_nobody_sees_yet_is_seen():
    story = story_of(Restless, st.just(add_x))
    assert story[:-1] == ["a: add 'x'", "deliver a→a add 'x' again"]
    assert story[-1].startswith("expect a unchanged: ")


class Sharing(ORSet):
    def copy(self, replica_id=None):
        twin = super().copy(replica_id)
        twin._adds = self._adds
        return twin


def test_a_copy_that_shares_with_its_original_is_seen():
    assert len(story_of(Sharing)) <= 5


class Forgetful(ORSet):
    def to_bytes(self):
        remembered = self.copy()
        remembered._adds.dots.pop("y", None)
        return ORSet.to_bytes(remembered)


def test_bytes_that_lose_something_are_seen():
    assert story_of(Forgetful) == [
        "a: add 'y'",
        "a from its bytes",
        "expect a.value unchanged: set() != {'y'}",
    ]


class Unstable(ORSet):
    def stabilize(self, version):
        super().stabilize(version)
        if version:
            self._adds.dots.clear()


def test_a_stabilisation_that_changes_the_value_is_seen():
    story = story_of(Unstable)
    assert story[-2].startswith("stabilize a at ")
    assert story[-1] == "expect a.value unchanged: set() != {'x'}"
    assert len(story) <= 6


def test_a_specification_may_be_a_predicate_on_the_value():
    story = story_of(ORSet, specification=lambda h: lambda value: "y" not in value)
    assert story == ["a: add 'y'", "expect a.value as specified, not {'y'}"]
