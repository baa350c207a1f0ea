from enum import StrEnum

import pytest

from calliope.limits import POSITION_MAX, checked_number, checked_text


@pytest.mark.parametrize("text", ["a", "x" * 10, "ü" * 5, "\u20ac" * 3, "\U0001f600" * 2, " ", "\n", "'"])
def test_a_text_within_its_limit_is_returned_as_it_is(text):
    assert checked_text("name", text, 10) is text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "name must not be empty"),
        ("x" * 11, "name 'xxxxxxxxxxx' must have at most 10 bytes in UTF-8, not 11"),
        ("ü" * 6, "name 'üüüüüü' must have at most 10 bytes in UTF-8, not 12"),
        ("a\0b", r"name 'a\\x00b' must not contain NUL"),
        ("a\ud800", r"name 'a\\ud800' must not contain lone surrogates"),
        ("x" * 100_000, "name 'x{39}…' must have at most 10 bytes in UTF-8, not 100000"),
    ],
)
def test_an_illegal_text_is_named_with_what_was_expected(text, complaint):
    with pytest.raises(ValueError, match=f"^{complaint}$"):
        checked_text("name", text, 10)


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize("value", [None, 5, b"bytes", ["a"], Colour.RED])
def test_what_is_no_str_is_refused(value):
    with pytest.raises(TypeError, match="name must be a str, not "):
        checked_text("name", value, 10)


@pytest.mark.parametrize("number", [0, 1, POSITION_MAX])
def test_a_number_within_range_is_returned(number):
    assert checked_number("after", number) == number


@pytest.mark.parametrize("number", [-1, POSITION_MAX + 1, 10**30, -(10**30)])
def test_a_number_out_of_range_is_refused(number):
    with pytest.raises(ValueError, match=f"^after must be from 0 to {POSITION_MAX}, not {number}$"):
        checked_number("after", number)


def test_a_range_has_the_ends_that_are_asked_for():
    with pytest.raises(ValueError, match="keep must be from 1 to 3, not 0"):
        checked_number("keep", 0, minimum=1, maximum=3)
    with pytest.raises(ValueError, match="keep must be from 1 to 3, not 4"):
        checked_number("keep", 4, minimum=1, maximum=3)


@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_what_is_no_int_is_refused(value):
    with pytest.raises(TypeError, match=r"^after must be an int, not "):
        checked_number("after", value)
