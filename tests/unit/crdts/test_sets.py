from random import Random

import msgspec
import pytest

from crdts import GSet, MalformedOperationError, Operation, ORSet, RWSet, TwoPhaseSet

encode = msgspec.msgpack.encode
SETS = [GSet, ORSet, RWSet, TwoPhaseSet]
REMOVING = [ORSet, RWSet, TwoPhaseSet]


def pair(set_type):
    return set_type("a"), set_type("b")


@pytest.mark.parametrize("set_type", SETS)
def test_what_is_added_is_there(set_type):
    a, b = pair(set_type)
    b.apply(a.add("milk"))

    assert a.value == b.value == {"milk"}
    assert a == b
    assert "milk" in b
    assert "bread" not in b
    assert len(b) == 1
    assert list(b) == ["milk"]


@pytest.mark.parametrize("set_type", REMOVING)
def test_what_is_removed_is_gone(set_type):
    a, b = pair(set_type)
    b.apply(a.add("milk"))
    a.apply(b.remove("milk"))

    assert a.value == b.value == frozenset()
    assert a == b
    assert "milk" not in a
    assert len(a) == 0


@pytest.mark.parametrize(("set_type", "left"), [(ORSet, {"milk"}), (RWSet, set()), (TwoPhaseSet, set())])
def test_an_addition_that_is_concurrent_to_a_removal(set_type, left):
    a, b = pair(set_type)
    b.apply(a.add("milk"))
    again, removal = a.add("milk"), b.remove("milk")
    a.apply(removal)
    b.apply(again)

    assert a.value == b.value == left
    assert a == b


@pytest.mark.parametrize(("set_type", "left"), [(ORSet, {"milk"}), (RWSet, {"milk"}), (TwoPhaseSet, set())])
def test_an_addition_after_a_removal(set_type, left):
    a, b = pair(set_type)
    b.apply(a.add("milk"))
    a.apply(b.remove("milk"))
    b.apply(a.add("milk"))

    assert a.value == b.value == left


@pytest.mark.parametrize(("set_type", "left"), [(ORSet, {"milk"}), (RWSet, set()), (TwoPhaseSet, set())])
def test_a_removal_of_an_element_never_seen(set_type, left):
    a, b = pair(set_type)
    addition, removal = a.add("milk"), b.remove("milk")
    a.apply(removal)
    b.apply(addition)

    assert a.value == b.value == left


@pytest.mark.parametrize("set_type", SETS)
def test_clear_undoes_what_has_been_seen_and_nothing_concurrent(set_type):
    a, b = pair(set_type)
    b.apply(a.add("milk"))
    b.apply(a.add("bread"))
    again, clear = a.add("milk"), b.clear()
    a.apply(clear)
    b.merge(a)

    assert a.value == b.value == {"milk"}
    assert b.apply(again) is False


@pytest.mark.parametrize("set_type", [RWSet, TwoPhaseSet])
def test_clear_undoes_removals_too(set_type):
    a = set_type("a")
    a.remove("milk")
    a.clear()
    a.add("milk")

    assert a.value == {"milk"}


def test_an_orset_keeps_no_tombstones():
    cart = ORSet("a")
    empty = len(cart.to_bytes())
    for number in range(1000):
        cart.add(number)
        cart.remove(number)

    assert cart.value == frozenset()
    assert len(cart.to_bytes()) < empty + 8


@pytest.mark.parametrize("set_type", [RWSet, TwoPhaseSet])
def test_what_a_stable_removal_beats_is_forgotten(set_type):
    a, b = pair(set_type)
    addition, removal = a.add("milk"), b.remove("milk")
    a.apply(removal)
    b.apply(addition)
    unfolded = len(a.to_bytes())

    a.stabilize(a.version)

    assert a.value == frozenset()
    assert len(a.to_bytes()) < unfolded
    assert set_type.from_bytes(a.to_bytes(), "c") == a == b
    b.merge(a)
    a.add("bread")
    b.add("cheese")
    a.merge(b)
    b.merge(a)
    assert a == b
    assert a.value == {"bread", "cheese"}


def test_a_removal_whose_opponent_is_not_stable_yet_is_kept():
    a, b = pair(RWSet)
    addition, removal = a.add("milk"), b.remove("milk")
    a.apply(removal)

    a.stabilize(b.version)
    assert a.value == frozenset()
    b.apply(addition)
    clear = b.clear()
    a.apply(clear)
    assert a == b


def test_a_removal_that_is_not_stable_stays_beside_one_that_is():
    a, b = pair(RWSet)
    first, second = a.remove("milk"), b.remove("milk")
    a.apply(second)
    b.apply(first)
    a.add("bread")

    a.stabilize(b.version.without("b"))
    assert "milk" not in a
    a.stabilize(a.version)
    b.merge(a)
    assert a == b


def test_stable_dots_of_an_orset_are_shared():
    cart = ORSet("a")
    for number in range(1000):
        cart.add(f"element {number}")
    before = len(cart.to_bytes())

    cart.stabilize(cart.version)

    assert len(cart.to_bytes()) < before - 800
    assert len(cart) == 1000


def test_concurrent_additions_of_one_element_are_all_kept_until_removed():
    a, b, c = (ORSet(name) for name in "abc")
    additions = [replica.add("milk") for replica in (a, b, c)]
    for addition in additions[1:]:
        a.apply(addition)
    b.apply(additions[0])
    assert ORSet.from_bytes(a.to_bytes(), "d") == a

    removal = b.remove("milk")  # b has not seen the addition of c
    a.apply(removal)
    b.apply(additions[2])

    assert a.value == b.value == {"milk"}
    assert a == b


def test_stable_and_unstable_dots_of_one_element_live_together():
    a, b = pair(ORSet)
    first, second = a.add("milk"), b.add("milk")
    a.apply(second)
    b.apply(first)
    partly = a.copy()
    partly.stabilize(a.version.without("b"))
    wholly = a.copy()
    wholly.stabilize(a.version)

    assert a == partly == wholly
    partly.stabilize(a.version)
    assert len(partly.to_bytes()) == len(wholly.to_bytes())
    b.remove("milk")
    wholly.merge(b)
    assert wholly.value == frozenset()


@pytest.mark.parametrize("set_type", SETS)
def test_equal_numbers_are_one_element_whoever_adds_them(set_type):
    a, b = pair(set_type)
    one, other = a.add(1), b.add(True)
    third = b.add(1.0)
    a.apply(other)
    a.apply(third)
    b.apply(one)

    assert repr(a.value) == repr(b.value) == "frozenset({1})"
    assert 1.0 in a


@pytest.mark.parametrize("set_type", SETS)
@pytest.mark.parametrize("element", [[1], {}, float("nan"), "\ud800", 2**64])
def test_what_cannot_be_an_element_changes_nothing(set_type, element):
    a = set_type("a")
    with pytest.raises((TypeError, ValueError)):
        a.add(element)
    if set_type is not GSet:
        with pytest.raises((TypeError, ValueError)):
            a.remove(element)

    assert a.version == {}
    assert a.value == frozenset()


@pytest.mark.parametrize("set_type", SETS)
def test_tuples_and_text_survive_the_way_through_bytes(set_type):
    a, b = pair(set_type)
    for element in (("x", (1, None)), "Käse", b"\x00", None, 1.5):
        b.apply(Operation.from_bytes(a.add(element).to_bytes()))

    assert repr(sorted(map(repr, a.value))) == repr(sorted(map(repr, b.value)))
    assert set_type.from_bytes(a.to_bytes(), "c") == b


@pytest.mark.parametrize("set_type", SETS)
def test_a_set_can_be_annotated_with_its_elements(set_type):
    assert set_type[str]("a").value == frozenset()


def test_a_set_prints_its_elements_in_order():
    cart = ORSet("a")
    for element in ("milk", "bread", 3):
        cart.add(element)

    assert repr(cart) == "<ORSet of a: {'bread', 'milk', 3} at {'a': 3}>"


def test_a_grow_only_set_knows_no_removal():
    with pytest.raises(MalformedOperationError, match="no action 'remove'"):
        GSet("b").apply(Operation.from_bytes(encode([1, "a", 1, {}, "GSet", "remove", "x"])))


@pytest.mark.parametrize("argument", [[1, 1.0], {"a": 1}, True, float("nan")])
def test_malformed_operations_change_nothing(argument):
    cart = ORSet("b")
    with pytest.raises(MalformedOperationError):
        cart.apply(Operation.from_bytes(encode([1, "a", 1, {}, "ORSet", "add", argument])))
    assert cart == ORSet("b")


@pytest.mark.parametrize(
    "state",
    [
        None,
        ["x"],
        {"x": None},
        {"x": 0},
        {"x": 3},
        {"x": -1},
        {"x": 1.0},
        {"x": []},
        {"x": [1]},
        {"x": [1, 1]},
        {"x": [1, 9]},
        {True: 1},
    ],
)
def test_malformed_states_are_refused(state):
    with pytest.raises(MalformedOperationError):
        ORSet.from_bytes(encode([1, "ORSet", {"a": 2}, {}, state]), "b")
    with pytest.raises(MalformedOperationError):
        RWSet.from_bytes(encode([1, "RWSet", {"a": 2}, {}, state]), "b")
    with pytest.raises(MalformedOperationError):
        RWSet.from_bytes(encode([1, "RWSet", {"a": 2}, {}, [{}, state]]), "b")


def test_dots_need_a_version():
    with pytest.raises(MalformedOperationError):
        ORSet.from_bytes(encode([1, "ORSet", {}, {}, {"x": 1}]), "b")


def test_two_tasks_on_copies_lose_nothing():
    cart, remote = ORSet("a"), ORSet("b")
    remote.apply(cart.add("milk"))
    copy, shipped = cart.copy(), []
    copy.listen(shipped.append)
    copy.add("bread")
    copy.clear()
    copy.add("cheese")
    for element in ("milk", "wine"):
        remote.apply(cart.add(element))

    for operation in cart.adopt(shipped):
        remote.apply(operation)

    assert cart.value == remote.value == {"milk", "wine", "cheese"}
    assert cart == remote


@pytest.mark.parametrize("set_type", SETS)
def test_a_merge_of_large_sets_is_what_delivering_their_operations_is(set_type):
    random = Random(1)
    merged, delivered = ({replica_id: set_type(replica_id) for replica_id in "abc"} for _ in range(2))
    log = []
    for _ in range(6):
        for replica_id, replica in merged.items():
            for _ in range(200):
                change = replica.remove if set_type in REMOVING and random.random() < 0.3 else replica.add
                log.append(change(random.randrange(150)))
                delivered[replica_id].apply(log[-1])
        one, other = random.sample("abc", 2)
        merged[one].merge(merged[other])
        for operation in log:
            if merged[other].version.covers(operation.dot):
                delivered[one].apply(operation)

        assert merged[one] == delivered[one]
        assert merged[one].value == delivered[one].value
