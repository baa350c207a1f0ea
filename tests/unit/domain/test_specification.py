"""Specifications combine, and say why they are not satisfied."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calliope.domain import Rejection, specification

positive = specification(lambda n: n > 0, "it must be positive", opposite="it must not be positive")
even = specification(lambda n: n % 2 == 0, lambda n: f"{n} is odd", opposite=lambda n: f"{n} is even")
small = specification(lambda n: abs(n) < 10, "it must be small")


@pytest.mark.parametrize(
    ("rule", "candidate", "reasons"),
    [
        (positive, 3, ()),
        (positive, -3, ("it must be positive",)),
        (even, 3, ("3 is odd",)),
        (positive & even, 2, ()),
        (positive & even, 3, ("3 is odd",)),
        (positive & even, -3, ("it must be positive", "-3 is odd")),
        (positive | even, 3, ()),
        (positive | even, -2, ()),
        (positive | even, -3, ("it must be positive", "-3 is odd")),
        (~positive, -3, ()),
        (~positive, 3, ("it must not be positive",)),
        (~~positive, -3, ("it must be positive",)),
        (~small, 3, ("not: it must be small",)),
        (~(positive | even), 2, ("it must not be positive", "2 is even")),
        (~(positive | even), 3, ("it must not be positive",)),
        (~(positive & even), 2, ("it must not be positive", "2 is even")),
        (positive & positive, -3, ("it must be positive",)),
        (positive & (even | ~small), 3, ("3 is odd", "not: it must be small")),
    ],
)
def test_reasons_are_those_that_decided(rule, candidate, reasons):
    assert rule.reasons(candidate) == reasons
    assert rule.is_satisfied_by(candidate) == (not reasons)


def test_checking_raises_a_rejection_with_all_the_reasons():
    (positive & even).check(2)
    with pytest.raises(Rejection) as caught:
        (positive & even).check(-3)
    assert caught.value.reasons == ("it must be positive", "-3 is odd")


rules = st.recursive(
    st.sampled_from([(positive, lambda n: n > 0), (even, lambda n: n % 2 == 0), (small, lambda n: abs(n) < 10)]),
    lambda inner: st.one_of(
        inner.map(lambda rule: (~rule[0], lambda n: not rule[1](n))),
        st.tuples(inner, inner).map(lambda two: (two[0][0] & two[1][0], lambda n: two[0][1](n) and two[1][1](n))),
        st.tuples(inner, inner).map(lambda two: (two[0][0] | two[1][0], lambda n: two[0][1](n) or two[1][1](n))),
    ),
    max_leaves=6,
)


@given(rules, st.integers(-20, 20))
def test_a_combination_is_satisfied_as_logic_has_it_and_has_reasons_exactly_if_not(rule, candidate):
    combined, meaning = rule
    assert combined.is_satisfied_by(candidate) == meaning(candidate)
    assert bool(combined.reasons(candidate)) == (not meaning(candidate))


def test_what_makes_no_specification_is_refused():
    with pytest.raises(TypeError, match="predicate must be callable"):
        specification("positive", "it must be positive")
    with pytest.raises(TypeError, match="reason must be a str or a function"):
        specification(bool, 7)
    with pytest.raises(TypeError, match="opposite must be a str or a function"):
        specification(bool, "it must be", opposite=7)
    with pytest.raises(TypeError):
        positive & bool
    with pytest.raises(TypeError):
        positive | bool
