import msgspec
import pytest

from crdts import BoundedCounter, InsufficientRightsError, MalformedOperationError, Operation, ORMap

encode = msgspec.msgpack.encode


def test_whoever_increments_may_decrement():
    a, b = BoundedCounter("a"), BoundedCounter("b")
    b.apply(a.increment(5))

    assert b.value == 5
    assert (a.rights(), b.rights(), b.rights("a")) == (5, 0, 5)
    b.apply(a.decrement(2))
    assert a.value == b.value == 3


def test_rights_that_a_replica_does_not_hold_it_cannot_spend():
    a, b = BoundedCounter("a"), BoundedCounter("b")
    b.apply(a.increment(5))

    with pytest.raises(InsufficientRightsError) as caught:
        b.decrement(2)

    assert (caught.value.replica_id, caught.value.required, caught.value.available) == ("b", 2, 0)
    assert b == a


def test_transferred_rights_are_spent_by_the_receiver():
    a, b = BoundedCounter("a"), BoundedCounter("b")
    a.increment(5)
    a.transfer(3, "b")
    b.merge(a)
    b.decrement(2)

    assert (b.value, b.rights(), b.rights("a")) == (3, 1, 2)
    with pytest.raises(InsufficientRightsError):
        a.decrement(3)
    with pytest.raises(InsufficientRightsError):
        a.transfer(3, "b")


def test_a_transfer_to_oneself_mints_nothing():
    a = BoundedCounter("a")
    a.increment(5)
    a.transfer(3, "a")
    a.transfer(5, "a")

    assert (a.value, a.rights()) == (5, 5)


def test_spending_takes_from_several_credits():
    a = BoundedCounter("a")
    a.increment(2)
    a.increment(2)
    a.increment(2)
    a.decrement(3)

    assert a.value == 3
    assert BoundedCounter.from_bytes(a.to_bytes(), "b") == a


def test_what_is_spent_leaves_nothing_behind():
    a = BoundedCounter("a")
    empty = len(a.to_bytes())
    for _ in range(200):
        a.increment(3)
        a.decrement(3)

    assert len(a.to_bytes()) < empty + 8


def test_joins_take_the_higher_spending():
    a, b = BoundedCounter("a"), BoundedCounter("b")
    b.apply(a.increment(5))
    a.decrement(2)
    b.increment(1)
    stale = b.copy("c")
    b.merge(a)
    stale.merge(b)
    a.merge(stale)

    assert a == b == stale
    assert a.value == 4


def test_joins_drop_what_the_other_side_has_spent_wholly():
    a, b = BoundedCounter("a"), BoundedCounter("b")
    b.apply(a.increment(5))
    a.decrement(5)
    b.increment(2)
    b.merge(a)
    a.merge(b)

    assert a == b
    assert a.value == 2


def test_clear_voids_the_rights_that_have_been_seen():
    a, b = BoundedCounter("a"), BoundedCounter("b")
    b.apply(a.increment(5))
    concurrent, clear = a.increment(2), b.clear()
    assert b.value == 0
    a.apply(clear)
    b.apply(concurrent)

    assert a.value == b.value == 2
    assert a == b


def test_a_decrement_and_a_clear_that_are_concurrent_stay_above_zero():
    a, b = BoundedCounter("a"), BoundedCounter("b")
    b.apply(a.increment(5))
    spent, clear = a.decrement(4), b.clear()
    a.apply(clear)
    b.apply(spent)

    assert a.value == b.value == 0
    assert a == b


def test_rights_that_are_transferred_during_a_clear_survive():
    a, b = BoundedCounter("a"), BoundedCounter("b")
    b.apply(a.increment(5))
    moved, clear = a.transfer(4, "b"), b.clear()
    a.apply(clear)
    b.apply(moved)

    assert a.value == b.value == 4
    assert b.rights() == 4


def test_nothing_can_be_counted_and_moved():
    a = BoundedCounter("a")
    for operation in (a.increment(0), a.decrement(0), a.transfer(0, "b")):
        assert operation.counter
    assert a.value == 0
    assert a.rights("b") == 0


def test_amounts_and_receivers_are_checked():
    a = BoundedCounter("a")
    for amount in (-1, 2**63):
        for change in (a.increment, a.decrement, lambda n: a.transfer(n, "b")):
            with pytest.raises(ValueError, match="from 0 to"):
                change(amount)
    with pytest.raises(TypeError):
        a.increment("1")
    with pytest.raises(TypeError):
        a.transfer(0, 1)
    with pytest.raises(ValueError, match="replica id"):
        a.transfer(0, "")


@pytest.mark.parametrize(
    ("action", "argument"),
    [
        ("increment", -1),
        ("decrement", 1),
        ("decrement", [1, [], 1]),
        ("decrement", [1, []]),
        ("decrement", [1, 1]),
        ("decrement", [-1, [["a", 1, -1]]]),
        ("decrement", [1, [["a", 1]]]),
        ("decrement", [1, [["", 1, 1]]]),
        ("decrement", [1, [["a", "1", 1]]]),
        ("decrement", [2, [["a", 1, 3], ["a", 2, -1]]]),
        ("transfer", [1, [["a", 1, 1]]]),
        ("transfer", [5, [["a", 1, 1]], "b"]),
        ("transfer", [1, [["a", 1, 1]], 3]),
    ],
)
def test_malformed_operations_change_nothing(action, argument):
    counter = BoundedCounter("b")
    operation = Operation.from_bytes(encode([1, "a", 1, {}, "BoundedCounter", action, argument]))

    with pytest.raises(MalformedOperationError):
        counter.apply(operation)
    assert counter == BoundedCounter("b")


@pytest.mark.parametrize(
    "state",
    [
        None,
        {"a": [1, 0]},
        {(1, "a"): 1},
        {(1, "a"): [1, 1]},
        {(1, "a"): [1, -1]},
        {(1, "a"): ["1", 0]},
        {(2, "a"): [1, 0]},
        {(0, "a"): [1, 0]},
        {(1, ""): [1, 0]},
        {(1, "a", 1): [1, 0]},
    ],
)
def test_malformed_states_are_refused(state):
    with pytest.raises(MalformedOperationError):
        BoundedCounter.from_bytes(encode([1, "BoundedCounter", {"a": 1}, {}, state]), "b")


def test_two_tasks_share_the_rights_of_their_replica():
    counter = BoundedCounter("a")
    counter.increment(3)
    counter.increment(3)
    copy, shipped = counter.copy(), []
    copy.listen(shipped.append)
    copy.decrement(2)
    copy.increment(7)
    counter.decrement(2)

    counter.adopt(shipped)

    assert counter.value == 9


def test_two_tasks_cannot_spend_the_same_rights():
    counter = BoundedCounter("a")
    counter.increment(5)
    copy, shipped = counter.copy(), []
    copy.listen(shipped.append)
    copy.decrement(1)
    copy.transfer(2, "b")
    counter.decrement(3)
    before = counter.copy()

    with pytest.raises(InsufficientRightsError):
        counter.adopt(shipped)

    assert counter == before
    assert counter.rights() == 2


def test_the_same_holds_inside_a_map():
    stock = ORMap("a")
    stock.update("bread", BoundedCounter, lambda counter: counter.increment(5))
    copy, shipped = stock.copy(), []
    copy.listen(shipped.append)
    copy.update("bread", BoundedCounter, lambda counter: [counter.decrement(2), counter.decrement(1)])
    copy.remove("milk")
    other = stock.copy()
    stock.update("bread", BoundedCounter, lambda counter: counter.decrement(3))

    before = stock.copy()
    with pytest.raises(InsufficientRightsError):
        stock.adopt(shipped)
    assert stock == before

    other.update("bread", BoundedCounter, lambda counter: counter.decrement(2))
    other.adopt(shipped)
    assert other["bread"] == 0
