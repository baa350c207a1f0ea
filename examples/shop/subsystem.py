"""What every part of the shop is made with, and what it then is."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from calliope import Journal
from calliope.event_stream import MicrosecondClock, system_clock
from calliope.flow import Clock, LoopClock
from examples.shop.http_interface import Endpoint


@dataclass(frozen=True)
class Surroundings:
    """What a part needs.

    Attributes:
        journal: shared by all parts.
        directory: where each keeps its view, in a file of its own.
        pay_within: how long a customer may take to pay.
        wall_clock: what deadlines are compared with.
        clock: measures pauses.
    """

    journal: Journal
    directory: Path
    pay_within: timedelta = timedelta(minutes=15)
    wall_clock: MicrosecondClock = field(default=system_clock)
    clock: Clock = field(default_factory=LoopClock)


@dataclass(frozen=True)
class Subsystem:
    """A running part of the shop.

    Attributes:
        title: what people call it.
        endpoints: its write side and its read side.
    """

    title: str
    endpoints: tuple[Endpoint, ...]
