"""`Process`: what a process manager does, as one value and pure functions; and the effects it asks for.

After Jérémie Chassaing's process managers beside deciders (thinkbeforecoding.com): where a decider turns a command into
events, a process turns an event into commands. It never does anything itself: it says what is to be done, and
`ProcessManager` does it, once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from calliope.domain.instants import due_at
from calliope.limits import STREAM_ID_BYTES_MAX, TAG_BYTES_MAX, checked_text
from calliope.recorded_event import RecordedEvent

State = TypeVar("State")
Event = TypeVar("Event")


@dataclass(frozen=True)
class Send:
    """Have a command carried out. A process' commands are delivered one after the other, in their order.

    Attributes:
        command: the command.
        to: the stream id of the aggregate.
    """

    command: Any
    to: str

    def __post_init__(self) -> None:
        checked_text("to", self.to, STREAM_ID_BYTES_MAX)


@dataclass(frozen=True)
class SetDeadline:
    """Receive an event when a time has come, unless the deadline is cancelled or set anew before.

    Attributes:
        name: names the deadline within its process.
        event: what the process then receives.
        at: when, as an aware datetime.
        after: or how long after what the process reacts to happened.
    """

    name: str
    event: Any
    at: datetime | None = None
    after: timedelta | None = None

    def __post_init__(self) -> None:
        checked_text("name", self.name, TAG_BYTES_MAX)
        due_at(self.at, self.after, 0)


@dataclass(frozen=True)
class CancelDeadline:
    """Do not wait for a deadline any more; if it is not set, nothing happens.

    Attributes:
        name: the deadline.
    """

    name: str


@dataclass(frozen=True)
class Complete:
    """End the process: its commands are still delivered, its deadlines are cancelled, it reacts to nothing more."""


Effect = Send | SetDeadline | CancelDeadline | Complete


@dataclass(frozen=True)
class Rejected:
    """A command of the process was refused.

    Attributes:
        command: the command.
        to: the stream id of the aggregate.
        reasons: why.
    """

    command: Any
    to: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Process(Generic[State, Event]):
    """Reacts to events with commands and deadlines. All its functions are pure.

    Attributes:
        initial: the state before the first event; all processes share it, so it must be immutable.
        correlate: given a recorded event, returns the id of the process that it concerns, or None.
        react: given the state *after* an event, and the event, returns an effect or a list or tuple of effects; none,
            or None, if there is nothing to do.
        evolve: given the state and an event, returns the next state.
        on_rejected: given a rejected command, returns the event that this is for the process, which then evolves and
            reacts as with any other; None, if it is none. If not given, a rejection is recorded and logged.
    """

    initial: State
    correlate: Callable[[RecordedEvent[Event]], str | None]
    react: Callable[[State, Event], Effect | Sequence[Effect] | None]
    evolve: Callable[[State, Event], State]
    on_rejected: Callable[[Rejected], Event | None] | None = None

    def after(self, state: State, event: Event) -> tuple[State, tuple[Effect, ...]]:
        """Return what the state becomes by an event, and the effects that follow.

        Raises:
            TypeError: `react` returned something that is no effect.
            Exception: whatever the functions raise.
        """
        evolved = self.evolve(state, event)
        return evolved, _checked_effects(self.react(evolved, event))


def _checked_effects(effects: Any) -> tuple[Effect, ...]:
    if effects is None:
        return ()
    several = tuple(effects) if isinstance(effects, (list, tuple)) else (effects,)
    for effect in several:
        if not isinstance(effect, Effect):
            raise TypeError(f"react must return Send, SetDeadline, CancelDeadline or Complete, not {effect!r}")
    return several
