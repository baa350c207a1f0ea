"""Composable streams: a `Source` flows through stages into a `Sink`.

A source is a recipe; running it pulls elements in chunks through its stages. `inlet` states the rules that
all stages keep, `fused` how synchronous stages cost next to nothing, `pump` how concurrent ones wait for
several things at once, `by_hand` how a `break` closes what is upstream.
"""

from calliope.flow.buffering import Overflow
from calliope.flow.clock import Clock, LoopClock, ManualClock
from calliope.flow.errors import (
    BufferOverflowError,
    EmptyStreamError,
    FlowError,
    RunDisposedError,
    StreamClosedError,
    StreamTimeoutError,
    TooManyGroupsError,
)
from calliope.flow.flow import Flow
from calliope.flow.inlet import CHUNK, EVERYTHING, Inlet
from calliope.flow.iteration import SourceIterator
from calliope.flow.pipeline import Pipeline, Run
from calliope.flow.queues import Queue
from calliope.flow.retrying import Backoff
from calliope.flow.sink import Sink
from calliope.flow.source import Group, QueueSource, Source

__all__ = [
    "CHUNK",
    "EVERYTHING",
    "Backoff",
    "BufferOverflowError",
    "Clock",
    "EmptyStreamError",
    "Flow",
    "FlowError",
    "Group",
    "Inlet",
    "LoopClock",
    "ManualClock",
    "Overflow",
    "Pipeline",
    "Queue",
    "QueueSource",
    "Run",
    "RunDisposedError",
    "Sink",
    "Source",
    "SourceIterator",
    "StreamClosedError",
    "StreamTimeoutError",
    "TooManyGroupsError",
]
