import msgspec
import pytest

from crdts import (
    BoundedCounter,
    Crdt,
    CrdtError,
    EWFlag,
    GCounter,
    InsufficientRightsError,
    LWWRegister,
    MalformedOperationError,
    Operation,
    ORMap,
    ORSet,
    PNCounter,
    Text,
    UpdateInterruptedError,
)

encode = msgspec.msgpack.encode


def adding(*elements):
    return lambda nested: [nested.add(element) for element in elements]


def counting(n=1):
    return lambda nested: nested.increment(n)


def test_values_are_crdts_of_any_type():
    a, b = ORMap("a"), ORMap("b")
    for operation in (
        a.update("tags", ORSet, adding("new")),
        a.update("visits", GCounter, counting(3)),
        a.update("stock", PNCounter, lambda stock: [stock.increment(5), stock.decrement(2)]),
        a.update("title", LWWRegister, lambda title: title.assign("Calliope")),
        a.update("body", Text, lambda body: [body.insert(0, "ac"), body.insert(1, "b")]),
    ):
        b.apply(Operation.from_bytes(operation.to_bytes()))

    expected = {"body": "abc", "stock": 3, "tags": {"new"}, "title": "Calliope", "visits": 3}
    assert a.value == b.value == expected
    assert list(a.value) == list(a) == sorted(expected)
    assert a == b == ORMap.from_bytes(a.to_bytes(), "c") == a.copy("d")
    assert a["visits"] == 3
    assert "visits" in a
    assert "nothing" not in a
    assert len(a) == 5
    with pytest.raises(KeyError):
        a["nothing"]


def test_maps_nest():
    a, b = ORMap("a"), ORMap("b")
    put = lambda element: lambda shop: shop.update("cart", ORSet, adding(element))  # noqa: E731
    b.apply(a.update("shop", ORMap, put("milk")))
    a.apply(b.update("shop", ORMap, put("bread")))
    removal = a.update("shop", ORMap, lambda shop: shop.remove("cart"))
    late = b.update("shop", ORMap, put("cheese"))
    b.apply(removal)
    a.apply(late)

    assert a.value == b.value == {"shop": {"cart": {"cheese"}}}
    assert a == b == ORMap.from_bytes(b.to_bytes(), "c")
    a.merge(b)
    a.remove("shop")
    assert a.value == {}


def test_all_that_one_update_does_is_one_operation():
    a, b = ORMap("a"), ORMap("b")
    operation = a.update("tags", ORSet, lambda tags: [tags.add("x"), tags.add("y"), tags.remove("x"), tags.add("z")])

    assert a.version == {"a": 1}
    b.apply(operation)
    assert a.value == b.value == {"tags": {"y", "z"}}
    assert a == b


def test_an_update_may_clear_and_go_on():
    a, b = ORMap("a"), ORMap("b")
    b.apply(a.update("n", PNCounter, counting(5)))
    b.apply(a.update("n", PNCounter, lambda n: [n.increment(2), n.clear(), n.decrement(1)]))

    assert a.value == b.value == {"n": -1}
    assert a == b


def test_an_update_makes_the_key_even_if_nothing_is_done():
    a, b = ORMap("a"), ORMap("b")
    b.apply(a.update("tags", ORSet, lambda tags: None))

    assert a.value == b.value == {"tags": frozenset()}


def test_a_key_stays_when_its_value_becomes_empty():
    a = ORMap("a")
    a.update("flag", EWFlag, lambda flag: flag.enable())
    a.update("flag", EWFlag, lambda flag: flag.disable())

    assert a.value == {"flag": False}


@pytest.mark.parametrize(
    ("nested_type", "change", "empty"),
    [
        (ORSet, adding("x"), frozenset()),
        (GCounter, counting(), 0),
        (PNCounter, counting(), 0),
        (BoundedCounter, counting(), 0),
        (ORMap, lambda nested: nested.update("k", ORSet, adding("x")), {}),
        (Text, lambda nested: nested.insert(0, "x"), ""),
    ],
)
def test_a_removed_key_leaves_nothing_behind(nested_type, change, empty):
    a = ORMap("a")
    size = len(a.to_bytes())
    for number in range(300):
        a.update(f"key {number}", nested_type, change)
        a.remove(f"key {number}")

    assert a.value == {}
    assert len(a.to_bytes()) < size + 8
    a.update("key 1", nested_type, lambda nested: None)
    assert a.value == {"key 1": empty}


@pytest.mark.parametrize("counter_type", [GCounter, PNCounter])
def test_an_update_beats_a_concurrent_removal_and_only_its_part_survives(counter_type):
    a, b = ORMap("a"), ORMap("b")
    b.apply(a.update("n", counter_type, counting(5)))
    update, removal = a.update("n", counter_type, counting(2)), b.remove("n")
    by_operations = a.copy("c")
    by_operations.apply(removal)
    by_states = a.copy("d")
    by_states.merge(b)
    b.apply(update)

    assert by_operations.value == by_states.value == b.value == {"n": 2}
    assert by_operations == by_states == b


def test_joins_drop_what_the_other_side_has_removed():
    a, b = ORMap("a"), ORMap("b")
    for key in ("x", "y", "z"):
        a.update(key, ORSet, adding("x"))
    b.merge(a)
    a.remove("x")
    b.remove("y")
    a.merge(b)
    b.merge(a)

    assert a == b
    assert a.value == {"z": {"x"}}


def test_clear_removes_every_key_that_has_been_seen():
    a, b = ORMap("a"), ORMap("b")
    b.apply(a.update("x", GCounter, counting(1)))
    b.apply(a.update("y", GCounter, counting(1)))
    update, clear = a.update("y", GCounter, counting(2)), b.clear()
    a.apply(clear)
    b.apply(update)

    assert a.value == b.value == {"y": 2}
    assert a == b


def test_concurrent_types_of_one_key_are_kept_and_removed_together():
    a, b = ORMap("a"), ORMap("b")
    one, other = a.update("k", ORSet, adding("x")), b.update("k", GCounter, counting(3))
    a.apply(other)
    b.merge(a)
    b.apply(one)

    assert a.value == b.value == {"k": 3}
    assert a == b
    a.update("k", ORSet, adding("y"))
    with pytest.raises(TypeError, match="is a GCounter, not a LWWRegister"):
        a.update("k", LWWRegister, lambda register: register.assign(1))
    a.remove("k")
    assert a.value == {}
    b.merge(a)
    assert b.value == {}


def test_another_type_under_the_key_changes_nothing():
    a = ORMap("a")
    a.update("k", GCounter, counting())

    with pytest.raises(TypeError, match="under the key 'k' is a GCounter, not a ORSet"):
        a.update("k", ORSet, adding("x"))
    with pytest.raises(TypeError, match="are CRDTs, not"):
        a.update("new", dict, lambda nested: None)
    with pytest.raises(TypeError, match="are CRDTs, not"):
        a.update("new", "ORSet", lambda nested: None)
    with pytest.raises(TypeError, match="cannot be an element"):
        a.update(["k"], ORSet, lambda nested: None)
    assert a.version == {"a": 1}


def test_a_type_may_be_annotated():
    a = ORMap[str]("a")
    a.update("tags", ORSet[str], adding("x"))

    assert a.value == {"tags": {"x"}}


def test_an_error_before_anything_was_done_changes_nothing():
    a = ORMap("a")
    with pytest.raises(InsufficientRightsError):
        a.update("stock", BoundedCounter, lambda stock: stock.decrement(1))

    assert a.value == {}
    assert a.version == {}


@pytest.mark.parametrize(
    ("crdt_type", "change", "expected"),
    [
        (GCounter, GCounter.increment, 1),
        (GCounter, GCounter.clear, 0),
        (PNCounter, PNCounter.increment, 1),
        (PNCounter, PNCounter.decrement, -1),
        (PNCounter, PNCounter.clear, 0),
        (BoundedCounter, BoundedCounter.increment, 1),
        (EWFlag, EWFlag.enable, True),
        (ORSet, ORSet.clear, frozenset()),
    ],
)
def test_the_update_function_may_be_a_method_of_the_type_itself(crdt_type, change, expected):
    a, b = ORMap("a"), ORMap("b")
    b.apply(a.update("k", crdt_type, change))

    assert a.value == b.value == {"k": expected}
    assert a == b


def test_a_method_of_the_type_itself_undoes_what_another_has_counted():
    a = ORMap("a")
    a.update("visits", PNCounter, PNCounter.increment)
    a.update("visits", PNCounter, PNCounter.clear)

    assert a.value == {"visits": 0}


def test_what_was_done_before_an_error_stands_and_can_be_shipped():
    a, b = ORMap("a"), ORMap("b")
    shipped = []
    a.listen(shipped.append)

    with pytest.raises(UpdateInterruptedError) as caught:
        a.update("tags", ORSet, lambda tags: [tags.add("x"), tags.add([])])

    assert isinstance(caught.value.__cause__, TypeError)
    assert shipped == [caught.value.operation]
    b.apply(caught.value.operation)
    assert a.value == b.value == {"tags": {"x"}}
    assert a == b


def test_an_interrupt_in_the_middle_of_an_update_stays_an_interrupt():
    a = ORMap("a")

    def interrupted(tags):
        tags.add("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        a.update("tags", ORSet, interrupted)
    assert a.value == {"tags": {"x"}}
    assert a.version == {"a": 1}


def test_a_value_is_changed_by_the_update_function_and_nowhere_else():
    a = ORMap("a")
    kept = []
    a.update("tags", ORSet, kept.append)
    a.update("map", ORMap, kept.append)

    for change in (lambda: kept[0].add("x"), lambda: kept[1].update("x", ORSet, print), kept[1].clear):
        with pytest.raises(CrdtError, match=r"by the function given to ORMap\.update"):
            change()
    for ask in (lambda: kept[0].version, lambda: kept[0].to_bytes(), lambda: kept[0].copy("b")):
        with pytest.raises(CrdtError, match="is a part of an ORMap"):
            ask()
    assert kept[0].value == frozenset()
    assert repr(kept[0]) == "<ORSet: {}>"
    assert kept[0] == kept[0]


def test_a_map_is_not_changed_from_within_its_own_update():
    a = ORMap("a")
    for change in (
        lambda _: a.remove("k"),
        lambda _: a.update("x", ORSet, adding("x")),
        lambda _: a.apply(ORMap("b").remove("k")),
    ):
        with pytest.raises(CrdtError):
            a.update("k", ORSet, change)
    assert a.value == {}
    assert a.version == {}


def test_listeners_are_told_of_whole_operations():
    a, b = ORMap("a"), ORMap("b")
    a.listen(lambda operation: b.apply(Operation.from_bytes(operation.to_bytes())))
    a.update("tags", ORSet, adding("x", "y"))
    a.remove("nothing")

    assert a == b


def nested_update(depth, change):
    for _ in range(depth):
        change = lambda nested, inner=change: nested.update("k", ORMap, inner)  # noqa: E731
    return change


def test_nesting_is_limited_where_the_operation_is_made():
    a, b = ORMap("a"), ORMap("b")
    operation = a.update(
        "k", ORMap, nested_update(30, lambda nested: nested.update("k", LWWRegister, lambda r: r.assign(1)))
    )
    b.apply(Operation.from_bytes(operation.to_bytes()))
    assert a == b == ORMap.from_bytes(a.to_bytes(), "c")

    with pytest.raises(ValueError, match="nested 32 deep"):
        b.update("x", ORMap, nested_update(40, lambda nested: None))
    assert a == b


def test_a_state_nested_too_deeply_is_refused():
    state = {}
    for _ in range(40):
        state = {"k": {"ORMap": [1, state]}}
    with pytest.raises(MalformedOperationError):
        ORMap.from_bytes(encode([1, "ORMap", {"a": 1}, False, state]), "b")


def test_stabilising_reaches_the_values():
    a, b = ORMap("a"), ORMap("b")
    for _ in range(100):
        a.update("n", GCounter, counting(3))
    a.update("tags", ORSet, adding(*map(str, range(50))))
    a.update("gone", PNCounter, lambda n: [n.increment(2), n.decrement(2)])
    b.merge(a)
    before = len(a.to_bytes())

    a.stabilize(a.version)

    assert len(a.to_bytes()) < before - 150
    assert a == b
    assert a.value == b.value
    late = b.update("n", GCounter, counting(1))
    removal = a.remove("n")
    a.apply(late)
    b.apply(removal)
    assert a["n"] == b["n"] == 1
    assert a == b
    a.stabilize(a.version)
    assert a == b


def test_two_tasks_on_copies_lose_nothing():
    shop, remote = ORMap("a"), ORMap("b")
    remote.apply(shop.update("cart", ORSet, adding("milk")))
    copy, shipped = shop.copy(), []
    copy.listen(shipped.append)
    copy.update("n", GCounter, counting(2))
    copy.update("cart", ORSet, adding("bread"))
    copy.remove("cart")
    copy.clear()
    copy.update("n", GCounter, counting(1))
    remote.apply(shop.update("cart", ORSet, adding("wine")))
    remote.apply(shop.update("n", GCounter, counting(10)))

    for operation in shop.adopt(shipped):
        remote.apply(Operation.from_bytes(operation.to_bytes()))

    assert shop.value == remote.value == {"cart": {"wine"}, "n": 11}
    assert shop == remote


@pytest.mark.parametrize(
    ("action", "argument"),
    [
        ("update", None),
        ("update", ["k", "ORSet"]),
        ("update", [{"k": 1}, "ORSet", []]),
        ("update", ["k", 1, []]),
        ("update", ["k", "Nonesuch", []]),
        ("update", ["k", "_Additions", []]),
        ("update", ["k", "Unfinished", []]),
        ("update", ["k", "ORSet", None]),
        ("update", ["k", "ORSet", ["add"]]),
        ("update", ["k", "ORSet", [["add", "x", 1]]]),
        ("update", ["k", "ORSet", [[["add"], "x"]]]),
        ("update", ["k", "ORSet", [["multiply", "x"]]]),
        ("update", ["k", "ORSet", [["add", True]]]),
        ("update", ["k", "GCounter", [["clear", [{}]]]]),
        ("update", ["k", "ORMap", [["update", ["k", "ORSet", [["add", True]]]]]]),
        ("remove", {"k": 1}),
        ("remove", True),
    ],
)
def test_malformed_operations_change_nothing(action, argument):
    class Unfinished(Crdt):
        pass

    target = ORMap("b")
    with pytest.raises(MalformedOperationError):
        target.apply(Operation.from_bytes(encode([1, "a", 1, {}, "ORMap", action, argument])))
    assert target == ORMap("b")


@pytest.mark.parametrize(
    "state",
    [
        None,
        {True: {"ORSet": [1, {}]}},
        {"k": {}},
        {"k": None},
        {"k": {1: [1, {}]}},
        {"k": {"ORSet": [1]}},
        {"k": {"ORSet": {}}},
        {"k": {"ORSet": [2, {}]}},
        {"k": {"ORSet": [[], {}]}},
        {"k": {"ORSet": [1, {"x": 2}]}},
        {"k": {"Nonesuch": [1, {}]}},
        {"k": {"GCounter": [1, {1: "1"}]}},
        {"k": {"GCounter": [1, [{}, {}]]}},
    ],
)
def test_malformed_states_are_refused(state):
    with pytest.raises(MalformedOperationError):
        ORMap.from_bytes(encode([1, "ORMap", {"a": 1}, False, state]), "b")
