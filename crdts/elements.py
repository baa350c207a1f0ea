"""What an element is: the one place that decides which values are the same element.

Python says `1 == True == 1.0`, msgpack encodes the three differently, and NaN is not equal to itself. If each
replica kept whichever it met first, replicas would agree and print different things. So every element of a
set and every key of a map is brought to one canonical form before it goes anywhere:

* numbers that are equal are one element, as in a Python set: True is 1, 2.0 is 2, -0.0 is 0 (an int that does
  not fit 64 bits is refused, a float beyond them stays a float: none of them equals an int that is allowed);
* NaN is refused, since no later remove could name it; so is text that UTF-8 cannot encode;
* a tuple is an element if its items are; it comes back from the wire as a tuple;
* None, str, bytes, int, float, bool and tuples of these are elements, nothing else; subclasses of them
  (a StrEnum, a named tuple) become the plain value, because that is what other replicas will see.

Values of registers are not compared and keep their type; see `freeze` and `thaw`.
"""

from collections.abc import Callable, Collection
from math import isnan
from typing import Any

from crdts.wire import VALUES_DEEP_MAX, encode, expect

INT_MIN, INT_MAX = -(2**63), 2**64 - 1
_ATOMS = frozenset({type(None), bool, int, str, bytes})


def identify(value: Any) -> Any:
    """Returns the canonical form of an element or key.

    Raises:
        TypeError: The value is of a type that cannot be an element.
        ValueError: NaN, an int beyond 64 bits, text that UTF-8 cannot encode, tuples nested over 32 deep.
    """
    if type(value) is str and value.isascii():
        return value
    return _rebuild(value, _identify_number, "an element", 0)


def hashable(value: Any) -> Any:
    """Returns a value that can be in a frozenset, with its type kept (True stays True); see `identify`."""
    return _rebuild(value, _keep_number, "a value of a set", 0)


def freeze(value: Any) -> Any:
    """Returns a copy of a register's value that nobody else can change: lists become tuples.

    Besides what can be an element, lists and dictionaries with str keys are values.

    Raises:
        TypeError: The value is of a type that has no plain byte form.
        ValueError: NaN, an int beyond 64 bits, text that UTF-8 cannot encode, nesting over 32 deep.
    """
    return _freeze(value, 0)


def thaw(value: Any) -> Any:
    """Returns a frozen value as its reader may have it: tuples become lists, dictionaries are copied."""
    if type(value) is tuple:
        return [thaw(item) for item in value]
    if type(value) is dict:
        return {key: thaw(item) for key, item in value.items()}
    return value


def in_order(keys: Collection[Any]) -> list[Any]:
    """Returns elements in an order that every replica agrees on."""
    if all(type(key) is str for key in keys):
        return sorted(keys)
    return sorted(keys, key=encode)


def check_element(argument: Any) -> None:
    """Refuses a decoded argument that is not the canonical form of an element."""
    if type(argument) is not str:  # decoded as UTF-8, a str is well-formed
        expect(_is_element(argument, 0), "an element in its canonical form")


def check_hashable(argument: Any) -> None:
    """Refuses a decoded argument that cannot be a value of a multi-value register."""
    expect(_is_hashable(argument, 0), "a value that can be in a set")


def check_value(argument: Any) -> None:
    """Refuses a decoded argument that cannot be the value of a register."""
    expect(_is_value(argument, 0), "a value")


def _is_element(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind is tuple:
        return depth < VALUES_DEEP_MAX and all(_is_element(item, depth + 1) for item in value)
    if kind is float:
        return not isnan(value) and not _is_int64(value)
    return kind in _ATOMS and kind is not bool


def _is_hashable(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind is tuple:
        return depth < VALUES_DEEP_MAX and all(_is_hashable(item, depth + 1) for item in value)
    return not isnan(value) if kind is float else kind in _ATOMS


def _is_value(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind is tuple:
        return depth < VALUES_DEEP_MAX and all(_is_value(item, depth + 1) for item in value)
    if kind is dict:
        keyed = all(type(key) is str for key in value)
        return depth < VALUES_DEEP_MAX and keyed and all(_is_value(item, depth + 1) for item in value.values())
    return not isnan(value) if kind is float else kind in _ATOMS


def _is_int64(number: float) -> bool:
    return number.is_integer() and INT_MIN <= number <= INT_MAX


def _rebuild(value: Any, number: Callable[[Any], Any], role: str, depth: int) -> Any:
    if isinstance(value, tuple):
        if depth == VALUES_DEEP_MAX:
            raise ValueError(f"{role} is nested over {VALUES_DEEP_MAX} tuples deep")
        return tuple([_rebuild(item, number, role, depth + 1) for item in value])
    if isinstance(value, int | float):
        return number(value)
    return _plain(value, role)


def _plain(value: Any, role: str) -> Any:
    if value is None:
        return None
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes):
        return bytes(value)
    raise TypeError(
        f"{value!r:.100} of type {type(value).__name__} cannot be {role}: "
        "it must be None, a str, bytes, number or tuple of these"
    )


def _text(value: str) -> str:
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{text!r:.100} has a lone surrogate, which UTF-8 cannot encode") from None
    return text


def _identify_number(value: Any) -> Any:
    kept = _keep_number(value)
    if type(kept) is bool:
        return int(kept)
    if type(kept) is float and _is_int64(kept):
        return int(kept)
    return kept


def _keep_number(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not INT_MIN <= value <= INT_MAX:
            raise ValueError(f"an int must fit 64 bits, and this one has {value.bit_length()}")
        return int.__int__(value)
    if isnan(value):
        raise ValueError("NaN is not equal to itself and cannot be stored; use None")
    return float.__float__(value)


def _freeze(value: Any, depth: int) -> Any:
    if isinstance(value, list | tuple | dict) and depth == VALUES_DEEP_MAX:
        raise ValueError(f"a value is nested over {VALUES_DEEP_MAX} deep")
    if isinstance(value, list | tuple):
        return tuple([_freeze(item, depth + 1) for item in value])
    if isinstance(value, dict):
        return {_key(key): _freeze(item, depth + 1) for key, item in value.items()}
    if isinstance(value, int | float):
        return _keep_number(value)
    return _plain(value, "a value")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a dictionary in a value must have str keys, not {key!r:.100}")
    return _text(key)
