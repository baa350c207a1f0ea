"""Measuring plain functions: how fast, how long, and what memory they leave in use."""

import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def rate(function: Callable[[T], object], arguments: Sequence[T]) -> float:
    """Call a function with one argument after the other; return calls a second."""
    began = time.perf_counter()
    for argument in arguments:
        function(argument)
    return len(arguments) / (time.perf_counter() - began)


def rate_of_repeating(function: Callable[[], object], times: int) -> float:
    """Call a function that often; return calls a second."""
    began = time.perf_counter()
    for _ in range(times):
        function()
    return times / (time.perf_counter() - began)


def milliseconds(function: Callable[[], object]) -> float:
    """Return how long a call takes; taking its result apart afterwards is not counted."""
    began = time.perf_counter()
    result = function()
    elapsed = time.perf_counter() - began
    del result
    return 1000 * elapsed


def memory(build: Callable[[], object]) -> float:
    """Return the bytes that are in use because of what a function returns, by tracemalloc."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        built = build()
        after, _ = tracemalloc.get_traced_memory()
        del built
    finally:
        tracemalloc.stop()
    return after - before
