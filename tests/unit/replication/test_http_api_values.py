"""Values as JSON and back, in the HTTP API."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from replication.http_api.answers import encoded
from replication.http_api.plain_values import DEEP_MAX, as_json, from_json

VALUES = [
    None,
    True,
    0,
    -(2**80),
    1.5,
    float("inf"),
    float("-inf"),
    "",
    "ünïcode \0",
    b"",
    b"\0\xff",
    datetime(2026, 5, 1, 12, tzinfo=UTC),
    datetime(2026, 5, 1, 12, 0, 0, 7, tzinfo=timezone(timedelta(hours=-3))),
    [],
    [1, [2, {"a": b"x"}]],
    {},
    {"a": {"b": None}},
    {1: "one", b"two": 2, (3, "x"): [4]},
    {"base64": "AAEC"},
    {"entries": []},
    {"float": "inf", "time": 1},
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: ascii(value)[:40])
def test_a_value_comes_back_from_json_as_it_was(value):
    returned = from_json(msgspec.json.decode(encoded(as_json(value))))
    assert (returned, type(returned)) == (value, type(value))


def test_sets_are_lists_in_one_order_and_tuples_are_lists():
    assert as_json({3, 1, 2}) == as_json(frozenset([2, 3, 1])) == [1, 2, 3]
    assert as_json(frozenset(["b", "a", 1])) == as_json(frozenset([1, "a", "b"]))
    assert as_json((1, (2,))) == [1, [2]]
    assert as_json(bytearray(b"\0")) == as_json(memoryview(b"\0")) == {"base64": "AA=="}
    assert as_json(float("nan")) == {"float": "nan"}
    assert as_json(msgspec.Raw(b"1")) == {"unreadable": "Raw"}


def test_elements_are_tuples_where_that_is_asked_for():
    assert from_json([1, [2, {"a": [3]}]], tuple) == (1, (2, {"a": (3,)}))


def nested(depth):
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"base64": "AAE"}, "'AAE'"),
        ({"base64": 7}, "base64, not 7"),
        ({"base64": "é"}, "base64"),
        ({"float": "1.5"}, "one of inf, -inf, nan, not '1.5'"),
        ({"float": []}, "one of inf"),
        ({"time": "noon"}, "'noon'"),
        ({"time": 7}, "not 7"),
        ({"entries": [[1]]}, r"\[key, value\]"),
        ({"entries": {"a": 1}}, r"\[key, value\]"),
        ({"entries": [[{"a": 1}, 1]]}, "keys that can be keys"),
        (nested(DEEP_MAX + 1), f"nested {DEEP_MAX} deep"),
        ({"entries": [[nested(DEEP_MAX), 1]]}, f"nested {DEEP_MAX} deep"),
    ],
    ids=lambda part: part if type(part) is str else "",
)
def test_what_stands_for_no_value_is_refused(value, reason):
    with pytest.raises(ValueError, match=reason):
        from_json(value)
