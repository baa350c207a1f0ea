"""`Decider`: what an aggregate is made of, as one value and two pure functions.

After Jérémie Chassaing, "Functional Event Sourcing Decider" (thinkbeforecoding.com, 17 December 2021): a command and a
state give events, a state and an event give the next state. Everything else (loading, persisting, retrying) is the same
for all deciders and lives in `Repository`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Generic, TypeVar

State = TypeVar("State")
Command = TypeVar("Command")
Event = TypeVar("Event")


@dataclass(frozen=True)  # no slots: CPython 3.11 cannot call `Decider[S, C, E]` then
class Decider(Generic[State, Command, Event]):
    """Decides what happens, and what that means.

        ORDER = Decider[Order, OrderCommand, OrderEvent](Order(), decide, evolve)

    Name the three types, as here: type checkers cannot find out the events from what `decide` returns.

    Both functions are pure: they read no clock, draw no random number and change neither state nor command, because a
    conflict has a command decided anew and loading evolves the same events again. What they need to know comes with
    the command.

    Attributes:
        initial: the state before the first event. All aggregates share it, so it must be an immutable value, such as a
            frozen dataclass.
        decide: given a command and the state, returns the event or the list or tuple of events that follow; none, or
            None, if nothing happens. It refuses by raising: a `Rejection`, or any exception of yours.
        evolve: given a state and an event, returns the next state. What happened has happened: it never refuses.
    """

    initial: State
    decide: Callable[[Command, State], Event | Sequence[Event] | None]
    evolve: Callable[[State, Event], State]

    def events_of(self, command: Command, state: State) -> tuple[Event, ...]:
        """Return the events that a command leads to, none or more.

        Raises:
            Exception: whatever `decide` raises.
        """
        return listed_events(self.decide(command, state))

    def state_after(self, events: Iterable[Event], state: State) -> State:
        """Return what a state becomes by events."""
        return reduce(self.evolve, events, state)

    def state_of(self, events: Iterable[Event]) -> State:
        """Return the state of an aggregate that these events happened to."""
        return self.state_after(events, self.initial)


def listed_events(events: Event | Sequence[Event] | None) -> tuple[Event, ...]:
    """Return an event, several or none as a tuple."""
    if events is None:
        return ()
    if isinstance(events, (list, tuple)):
        return tuple(events)
    return (events,)  # type: ignore[return-value] # events are no sequences, as `EventStream.persist` has it
