import msgspec
import pytest

from crdts import DWFlag, EWFlag, MalformedOperationError, Operation

encode = msgspec.msgpack.encode
FLAGS = [EWFlag, DWFlag]


@pytest.mark.parametrize("flag_type", FLAGS)
def test_a_flag_is_off_at_first_and_can_be_switched(flag_type):
    a, b = flag_type("a"), flag_type("b")
    assert a.value is False
    b.apply(a.enable())
    assert a.value is b.value is True
    a.apply(b.disable())
    assert a.value is b.value is False
    b.apply(a.enable())
    assert a.value is b.value is True
    assert a == b


@pytest.mark.parametrize(("flag_type", "outcome"), [(EWFlag, True), (DWFlag, False)])
def test_who_wins_when_one_enables_and_one_disables(flag_type, outcome):
    a, b = flag_type("a"), flag_type("b")
    b.apply(a.enable())
    on, off = a.enable(), b.disable()
    a.apply(off)
    b.apply(on)

    assert a.value is b.value is outcome
    assert a == b
    a.merge(b)
    assert flag_type.from_bytes(a.to_bytes(), "c") == b


@pytest.mark.parametrize("flag_type", FLAGS)
def test_clear_undoes_what_has_been_seen_and_nothing_concurrent(flag_type):
    a, b = flag_type("a"), flag_type("b")
    b.apply(a.disable())
    on, clear = a.enable(), b.clear()
    a.apply(clear)
    b.merge(a)

    assert a.value is b.value is True
    assert b.apply(on) is False
    a.clear()
    assert a.value is False


@pytest.mark.parametrize("flag_type", FLAGS)
def test_stabilising_changes_neither_value_nor_equality(flag_type):
    a, b = flag_type("a"), flag_type("b")
    on, off = a.enable(), b.disable()
    a.apply(off)
    b.apply(on)
    before = a.value

    a.stabilize(a.version)

    assert a.value is before
    assert a == b
    b.merge(a)
    b.enable()
    a.merge(b)
    assert a.value is True


def test_a_stable_disable_is_forgotten():
    a, b = DWFlag("a"), DWFlag("b")
    a.disable()
    before = len(a.to_bytes())
    a.stabilize(a.version)
    assert len(a.to_bytes()) < before

    b.enable()
    b.disable()
    b.stabilize(b.version)
    assert b.value is False


@pytest.mark.parametrize("flag_type", FLAGS)
@pytest.mark.parametrize("state", [None, [], [{}], [{}, 1], {"x": 1}, {None: 3}, [{1: 1}, {}]])
def test_malformed_states_are_refused(flag_type, state):
    with pytest.raises(MalformedOperationError):
        flag_type.from_bytes(encode([1, flag_type.type_name, {"a": 1}, {}, state]), "b")


@pytest.mark.parametrize("flag_type", FLAGS)
def test_an_operation_with_an_argument_is_refused(flag_type):
    flag = flag_type("b")
    with pytest.raises(MalformedOperationError, match="no argument"):
        flag.apply(Operation.from_bytes(encode([1, "a", 1, {}, flag_type.type_name, "enable", 1])))
    assert flag == flag_type("b")
