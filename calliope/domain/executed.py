"""What a repository returns: an aggregate as it is, and what came of a command."""

from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State")
Event = TypeVar("Event")


@dataclass(frozen=True)
class Loaded(Generic[State]):
    """An aggregate as the journal has it.

    Attributes:
        state: its state.
        version: the sequence number of its last event; 0: there is none.
    """

    state: State
    version: int


@dataclass(frozen=True)
class Executed(Generic[State, Event]):
    """What came of a command.

    Attributes:
        events: what happened; nothing, if the decider decided so.
        state: the aggregate's state, with these events and whatever followed them.
        version: the sequence number of the last event in that state.
        position: where the last of these events stands in the journal: who has seen it has seen them. If there are
            none, where the last event of the aggregate stands (0: it has none).
        duplicate: whether the command had been carried out before; the events are those of that time.
    """

    events: tuple[Event, ...]
    state: State
    version: int
    position: int
    duplicate: bool = False
