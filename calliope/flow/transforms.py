"""The synchronous stages that are fused: each makes one element into one or none, without waiting."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from typing import Any

from calliope.flow.arguments import check_callable, check_count
from calliope.flow.fused import Stop, Transform, fused
from calliope.flow.inlet import Stage


def mapping(function: Callable[[Any], Any]) -> Stage:
    """Make the stage of `Source.map`."""
    check_callable("function", function)
    transform: Transform = partial(map, function)
    return fused(lambda stop: transform)


def filtering(predicate: Callable[[Any], Any]) -> Stage:
    """Make the stage of `Source.filter`."""
    check_callable("predicate", predicate)
    transform: Transform = partial(filter, predicate)
    return fused(lambda stop: transform)


def observing(function: Callable[[Any], Any]) -> Stage:
    """Make the stage of `Source.on_each` for a synchronous function."""

    def transform(elements: Iterator[Any]) -> Iterator[Any]:
        for element in elements:
            result = function(element)
            if result is not None and isawaitable(result):
                raise TypeError(f"on_each awaits only what is async def; {function!r} is not, but returned {result!r}")
            yield element

    return fused(lambda stop: transform)


def is_asynchronous(function: Callable[..., Any]) -> bool:
    """Tell whether a function, or an object with `__call__`, is known to return something to await."""
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def taking_while(predicate: Callable[[Any], Any], *, inclusive: bool) -> Stage:
    """Make the stage of `Source.take_while`."""
    check_callable("predicate", predicate)

    def begin(stop: Stop) -> Transform:
        def transform(elements: Iterator[Any]) -> Iterator[Any]:
            for element in elements:
                if not predicate(element):
                    stop.stopped = True
                    if inclusive:
                        yield element
                    return
                yield element

        return transform

    return fused(begin)


class _DroppingWhile:
    def __init__(self, predicate: Callable[[Any], Any]) -> None:
        self._predicate = predicate
        self._dropping = True

    def __call__(self, elements: Iterator[Any]) -> Iterator[Any]:
        return self._dropped(elements) if self._dropping else elements

    def _dropped(self, elements: Iterator[Any]) -> Iterator[Any]:
        for element in elements:
            if not self._predicate(element):
                self._dropping = False
                yield element
                break
        yield from elements


def dropping_while(predicate: Callable[[Any], Any]) -> Stage:
    """Make the stage of `Source.drop_while`."""
    check_callable("predicate", predicate)
    return fused(lambda stop: _DroppingWhile(predicate))


class _Distinct:
    def __init__(self, key: Callable[[Any], Hashable] | None, remember: int) -> None:
        self._key = key
        self._remember = remember
        self._seen: OrderedDict[Hashable, None] = OrderedDict()  # the one not seen for longest first

    def __call__(self, elements: Iterator[Any]) -> Iterator[Any]:
        for element in elements:
            key = element if self._key is None else self._key(element)
            if key in self._seen:
                self._seen.move_to_end(key)
                continue
            self._seen[key] = None
            if len(self._seen) > self._remember:
                self._seen.popitem(last=False)
            yield element


def distinguishing(key: Callable[[Any], Hashable] | None, remember: int) -> Stage:
    """Make the stage of `Source.distinct`."""
    if key is not None:
        check_callable("key", key)
    check_count("remember", remember)
    return fused(lambda stop: _Distinct(key, remember))


class _Scan:
    def __init__(self, initial: Any, function: Callable[[Any, Any], Any]) -> None:
        self._state = initial
        self._function = function

    def __call__(self, elements: Iterator[Any]) -> Iterator[Any]:
        for element in elements:
            self._state = self._function(self._state, element)
            yield self._state


def accumulating(initial: Any, function: Callable[[Any, Any], Any]) -> Stage:
    """Make the stage that follows the initial state in `Source.scan`."""
    check_callable("function", function)
    return fused(lambda stop: _Scan(initial, function))
