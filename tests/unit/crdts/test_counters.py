import msgspec
import pytest

from crdts import CausalityError, GCounter, MalformedOperationError, Operation, PNCounter

COUNTERS = [GCounter, PNCounter]
encode = msgspec.msgpack.encode


def exchange(*replicas):
    for replica in replicas:
        for other in replicas:
            replica.merge(other)


def test_increments_of_all_replicas_add_up():
    a, b = GCounter("a"), GCounter("b")
    first, second = a.increment(), b.increment(4)
    a.apply(second)
    b.apply(first)

    assert a.value == b.value == 5
    assert a == b


def test_a_counter_goes_up_and_down():
    a, b = PNCounter("a"), PNCounter("b")
    up, down = a.increment(2), b.decrement(5)
    a.apply(down)
    b.apply(up)

    assert a.value == b.value == -3
    assert a == b


@pytest.mark.parametrize("counter_type", COUNTERS)
def test_counting_nothing_leaves_no_trace(counter_type):
    a, b = counter_type("a"), counter_type("b")
    b.apply(a.increment(0))

    assert a.value == b.value == 0
    assert a == b


@pytest.mark.parametrize("counter_type", COUNTERS)
def test_clear_undoes_what_has_been_seen_and_nothing_concurrent(counter_type):
    a, b = counter_type("a"), counter_type("b")
    b.apply(a.increment(5))
    concurrent, clear = a.increment(2), b.clear()
    assert b.value == 0

    a.apply(clear)
    b.apply(concurrent)

    assert a.value == b.value == 2
    assert a == b


def test_clear_undoes_decrements_too():
    a, b = PNCounter("a"), PNCounter("b")
    b.apply(a.decrement(5))
    concurrent, clear = a.decrement(2), b.clear()
    a.apply(clear)
    b.merge(a)

    assert a.value == b.value == -2
    assert b.apply(concurrent) is False


@pytest.mark.parametrize("counter_type", COUNTERS)
def test_concurrent_clears_undo_what_either_has_seen(counter_type):
    a, b, c = (counter_type(name) for name in "abc")
    b.apply(a.increment(1))
    early = b.clear()
    for counter in (2, 4):
        c_operation = a.increment(counter)
        if counter == 2:
            late = [c_operation]
    c.merge(a)
    late.append(c.clear())
    a.apply(early)
    a.apply(late[1])
    b.merge(c)

    assert a.value == b.value == 0
    a.increment(3)
    assert a.value == 3


@pytest.mark.parametrize("counter_type", COUNTERS)
def test_totals_may_be_of_any_size(counter_type):
    a = counter_type("a")
    for _ in range(5):
        a.increment(2**63 - 1)

    assert a.value == 5 * (2**63 - 1)
    b = counter_type.from_bytes(a.to_bytes(), "b")
    assert b == a
    b.apply(a.clear())
    assert b.value == 0
    assert counter_type.from_bytes(b.to_bytes(), "c") == a


@pytest.mark.parametrize("counter_type", COUNTERS)
@pytest.mark.parametrize("amount", [1.0, "1", None, True])
def test_an_amount_is_an_int(counter_type, amount):
    counter = counter_type("a")

    with pytest.raises(TypeError, match="an amount is an int"):
        counter.increment(amount)
    assert counter.version == {}


@pytest.mark.parametrize("amount", [-1, 2**63])
def test_an_amount_fits_63_bits(amount):
    for change in (GCounter("a").increment, PNCounter("a").increment, PNCounter("a").decrement):
        with pytest.raises(ValueError, match="from 0 to"):
            change(amount)


def test_a_decrement_is_checked_like_an_increment():
    with pytest.raises(TypeError):
        PNCounter("a").decrement("1")


@pytest.mark.parametrize(
    ("action", "argument"),
    [
        ("increment", -1),
        ("increment", 2**63),
        ("increment", True),
        ("increment", None),
        ("decrement", 1),
        ("multiply", 1),
        ("clear", None),
        ("clear", []),
        ("clear", [{}, {}]),
        ("clear", [[]]),
        ("clear", [{"a": 0}]),
        ("clear", [{"a": -1}]),
        ("clear", [{"a": b"\x01"}]),
        ("clear", [{"": 1}]),
        ("clear", [{1: 1}]),
    ],
)
def test_malformed_operations_change_nothing(action, argument):
    counter = GCounter("b")
    operation = Operation.from_bytes(encode([1, "a", 1, {}, "GCounter", action, argument]))

    with pytest.raises(MalformedOperationError):
        counter.apply(operation)
    assert counter == GCounter("b")


@pytest.mark.parametrize("counter_type", COUNTERS)
@pytest.mark.parametrize("state", [None, [], [{}], [{"a": 1}, 2], [{"a": "1"}, {}], [[{}, {}]], [[{}, {}], [{}, 0]]])
def test_malformed_states_are_refused(counter_type, state):
    with pytest.raises(MalformedOperationError):
        counter_type.from_bytes(encode([1, counter_type.type_name, {"a": 1}, {}, state]), "b")


@pytest.mark.parametrize("counter_type", COUNTERS)
def test_increments_of_two_tasks_on_copies_add_up(counter_type):
    counter, other = counter_type("a"), counter_type("b")
    counter.increment(10)
    copy, shipped = counter.copy(), []
    copy.listen(shipped.append)
    copy.increment(5)
    counter.increment(1)

    adopted = counter.adopt(shipped)

    assert counter.value == 16
    other.merge(counter)
    assert other.value == 16
    assert [operation.counter for operation in adopted] == [3]


@pytest.mark.parametrize("counter_type", COUNTERS)
def test_a_clear_of_one_task_does_not_undo_what_the_other_has_counted(counter_type):
    counter, remote = counter_type("a"), counter_type("b")
    remote.apply(counter.increment(10))
    copy, shipped = counter.copy(), []
    copy.listen(shipped.append)
    copy.increment(5)
    copy.clear()
    copy.increment(2)
    remote.apply(counter.increment(1))

    for operation in counter.adopt(shipped):
        remote.apply(Operation.from_bytes(operation.to_bytes()))

    assert counter.value == remote.value == 3
    assert counter == remote


def test_decrements_before_a_clear_of_a_copy_are_settled_too():
    counter = PNCounter("a")
    counter.decrement(10)
    copy, shipped = counter.copy(), []
    copy.listen(shipped.append)
    copy.decrement(5)
    copy.clear()
    copy.decrement(2)
    copy.clear()
    counter.decrement(1)
    counter.adopt(shipped)

    assert counter.value == -1


def test_the_operations_of_a_copy_are_adopted_as_they_are_if_nothing_came_between():
    counter = GCounter("a")
    copy, shipped = counter.copy(), []
    copy.listen(shipped.append)
    copy.increment(5)

    assert counter.adopt(shipped) == shipped
    assert counter == copy
    assert counter.adopt([]) == []


def test_a_gap_is_a_causality_error():
    a, b = GCounter("a"), GCounter("b")
    a.increment()
    with pytest.raises(CausalityError):
        b.apply(a.increment())
    assert b.value == 0


def test_million_of_small_counters_share_what_they_do_not_need():
    assert PNCounter("a")._downs is PNCounter("b")._downs
    down = PNCounter("a")
    down.decrement()
    assert down.value == -1
    assert PNCounter("b").value == 0
