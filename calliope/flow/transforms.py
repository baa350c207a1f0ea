"""The synchronous stages that are fused: each makes one element into none, one or many, without waiting."""

from collections.abc import Callable
from functools import partial
from typing import Any

from calliope.flow.arguments import check_callable
from calliope.flow.fused import FusedInlet, Stop, Transform
from calliope.flow.inlet import Inlet

Stage = Callable[[Inlet[Any]], Inlet[Any]]
"""Puts itself behind an opened inlet; one call belongs to one run."""


def _fused(begin: Callable[[Stop], Transform], *, expanding: bool = False) -> Stage:
    def attach(upstream: Inlet[Any]) -> Inlet[Any]:
        inlet = upstream if isinstance(upstream, FusedInlet) else FusedInlet[Any](upstream)
        inlet.push(begin, expanding=expanding)
        return inlet

    return attach


def mapping(function: Callable[[Any], Any]) -> Stage:
    """Makes the stage of `Source.map`."""
    check_callable("function", function)
    transform: Transform = partial(map, function)
    return _fused(lambda stop: transform)


def filtering(predicate: Callable[[Any], Any]) -> Stage:
    """Makes the stage of `Source.filter`."""
    check_callable("predicate", predicate)
    transform: Transform = partial(filter, predicate)
    return _fused(lambda stop: transform)
