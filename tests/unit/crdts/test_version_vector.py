import pickle

import pytest

from crdts import CausalOrder, Dot, VersionVector

ONE = VersionVector({"a": 2, "b": 1})
LATER = VersionVector({"a": 3, "b": 1})
BESIDE = VersionVector({"a": 1, "c": 4})


def test_an_absent_replica_counts_zero():
    assert ONE["z"] == 0
    assert "z" not in ONE
    assert ONE["a"] == 2
    assert "a" in ONE


def test_zeros_are_dropped_so_that_equal_versions_are_equal():
    assert VersionVector({"a": 1, "b": 0}) == VersionVector({"a": 1})
    assert len(VersionVector({"b": 0})) == 0
    assert hash(VersionVector({"a": 1, "b": 0})) == hash(VersionVector({"a": 1}))


def test_it_is_a_mapping_and_equals_one():
    assert ONE == {"a": 2, "b": 1, "c": 0}
    assert dict(ONE) == {"a": 2, "b": 1}
    assert list(ONE) == ["a", "b"]
    assert dict(ONE.items()) == dict(ONE)
    assert ONE != {"a": 2}
    assert ONE != 7


def test_increment_returns_a_new_vector_and_leaves_the_old_one():
    assert ONE.increment("b") == {"a": 2, "b": 2}
    assert ONE.increment("c") == {"a": 2, "b": 1, "c": 1}
    assert ONE == {"a": 2, "b": 1}


def test_merge_is_the_pointwise_maximum():
    assert ONE.merge(BESIDE) == {"a": 2, "b": 1, "c": 4}
    assert BESIDE.merge(ONE) == {"a": 2, "b": 1, "c": 4}
    assert ONE.merge(LATER) is LATER
    assert LATER.merge(ONE) is LATER


def test_meet_is_the_pointwise_minimum():
    assert ONE.meet(BESIDE) == {"a": 1}
    assert LATER.meet(ONE) == ONE


@pytest.mark.parametrize(
    ("one", "other", "order"),
    [
        (ONE, VersionVector({"b": 1, "a": 2}), CausalOrder.EQUAL),
        (ONE, LATER, CausalOrder.BEFORE),
        (LATER, ONE, CausalOrder.AFTER),
        (ONE, BESIDE, CausalOrder.CONCURRENT),
        (VersionVector(), ONE, CausalOrder.BEFORE),
    ],
)
def test_compare_tells_the_causal_order(one, other, order):
    assert one.compare(other) is order
    assert one.concurrent(other) is (order is CausalOrder.CONCURRENT)
    assert one.descends(other) is (order in (CausalOrder.EQUAL, CausalOrder.AFTER))


def test_it_covers_the_dots_it_has_seen():
    assert ONE.covers(Dot("a", 2))
    assert not ONE.covers(Dot("a", 3))
    assert not ONE.covers(Dot("z", 1))


def test_a_replica_can_be_left_out():
    assert ONE.without("a") == {"b": 1}
    assert ONE.without("z") is ONE


@pytest.mark.parametrize("counters", [{1: 1}, {"a": "1"}, {"a": True}, {"a": 1.0}])
def test_what_is_no_counter_is_a_type_error(counters):
    with pytest.raises(TypeError, match="maps str to int"):
        VersionVector(counters)


@pytest.mark.parametrize("counter", [-1, 2**63])
def test_counters_have_63_bits(counter):
    with pytest.raises(ValueError, match="between 0 and"):
        VersionVector({"a": counter})


def test_it_prints_sorted_and_survives_pickling():
    assert repr(VersionVector({"b": 1, "a": 2})) == "VersionVector({'a': 2, 'b': 1})"
    assert pickle.loads(pickle.dumps(ONE)) == ONE
    assert hash(ONE) == hash(ONE)


def test_dots_are_ordered_and_hashable():
    assert sorted({Dot("b", 1), Dot("a", 2), Dot("a", 1)}) == [Dot("a", 1), Dot("a", 2), Dot("b", 1)]
