from enum import IntEnum, StrEnum
from typing import NamedTuple

import pytest

from crdts import MalformedOperationError
from crdts.elements import (
    check_element,
    check_hashable,
    check_value,
    freeze,
    hashable,
    identify,
    in_order,
    thaw,
)


class Point(NamedTuple):
    x: object
    y: object


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Amount(float):
    pass


class Blob(bytes):
    pass


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ("milk", "milk"),
        ("Käse", "Käse"),
        (b"milk", b"milk"),
        (None, None),
        (1, 1),
        (True, 1),
        (False, 0),
        (1.0, 1),
        (-0.0, 0),
        (2.0**63, 2**63),
        (1.5, 1.5),
        (1e300, 1e300),
        (float("inf"), float("inf")),
        (2**64 - 1, 2**64 - 1),
        (-(2**63), -(2**63)),
        ((1.0, ("x", True)), (1, ("x", 1))),
        ((), ()),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Amount(1.5), 1.5),
        (Amount(2), 2),
        (Blob(b"x"), b"x"),
        (Point(1, 2.0), (1, 2)),
    ],
)
def test_equal_elements_have_one_canonical_form(value, canonical):
    found = identify(value)

    assert found == canonical
    assert type(found) is type(canonical)
    assert repr(found) == repr(canonical)


@pytest.mark.parametrize("value", [[1], {"a": 1}, {1}, frozenset({1}), object(), bytearray(b"x"), (1, [2]), 1j])
def test_what_cannot_be_an_element_is_a_type_error_that_names_it(value):
    with pytest.raises(TypeError, match="cannot be an element"):
        identify(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "NaN"),
        (2**64, "fit 64 bits"),
        (-(2**63) - 1, "fit 64 bits"),
        pytest.param(10**5000, "fit 64 bits", id="too long to print"),
        ("\ud800", "lone surrogate"),
        (("x", float("nan")), "NaN"),
    ],
)
def test_what_has_no_identity_is_a_value_error_that_says_why(value, reason):
    for function in (identify, hashable, freeze):
        with pytest.raises(ValueError, match=reason):
            function(value)


def nested(depth, make=lambda inner: (inner,)):
    value = 1
    for _ in range(depth):
        value = make(value)
    return value


@pytest.mark.parametrize("function", [identify, hashable, freeze])
def test_nesting_is_limited(function):
    assert function(nested(32)) == nested(32)
    with pytest.raises(ValueError, match="32"):
        function(nested(33))


def test_lists_and_dictionaries_nest_as_deeply_as_tuples():
    assert freeze(nested(32, lambda inner: [inner])) == nested(32)
    with pytest.raises(ValueError, match="32"):
        freeze(nested(33, lambda inner: {"k": inner}))


def test_hashable_values_keep_their_type():
    assert [repr(hashable(value)) for value in (True, 1.0, 1, (True, 2.0))] == ["True", "1.0", "1", "(True, 2.0)"]
    with pytest.raises(TypeError, match="value of a set"):
        hashable([1])


def test_a_frozen_value_does_not_change_with_the_original():
    original = {"list": [1, (2, 3)], "map": {"x": None}}
    frozen = freeze(original)
    original["list"].append(4)

    assert thaw(frozen) == {"list": [1, [2, 3]], "map": {"x": None}}


def test_a_thawed_value_is_the_readers_own():
    frozen = freeze({"list": [1]})
    thaw(frozen)["list"].append(2)

    assert thaw(frozen) == {"list": [1]}


def test_values_keep_their_type():
    assert [repr(thaw(freeze(value))) for value in (True, 1.0, 1, None, "x", b"x")] == [
        "True",
        "1.0",
        "1",
        "None",
        "'x'",
        "b'x'",
    ]


def test_dictionaries_in_values_have_str_keys():
    with pytest.raises(TypeError, match="str keys, not 1"):
        freeze({1: 2})
    assert freeze({Colour.RED: 1}) == {"red": 1}


@pytest.mark.parametrize("argument", ["x", "ä", b"x", 1, 1.5, None, (1, "x")])
def test_canonical_arguments_pass(argument):
    check_element(argument)
    check_hashable(argument)
    check_value(argument)


@pytest.mark.parametrize("argument", [True, 1.0, -0.0, (1, True), float("nan"), {"a": 1}, [1]])
def test_arguments_that_are_not_canonical_elements_are_refused(argument):
    with pytest.raises(MalformedOperationError):
        check_element(argument)


def test_arguments_that_are_no_values_are_refused():
    with pytest.raises(MalformedOperationError):
        check_value({1: 2})
    with pytest.raises(MalformedOperationError):
        check_hashable({"a": 1})
    check_value({"a": (1, 2.0, True)})
    check_hashable(True)


def test_elements_have_an_order_that_all_replicas_agree_on():
    assert in_order({"b", "a"}) == ["a", "b"]
    assert in_order(["b", 1, (2,), None]) == in_order([None, (2,), 1, "b"])
