"""`Aggregate`: one aggregate in memory, as a repository uses it: a state, and how much of its stream it has seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from typing_extensions import TypeForm

from calliope.recorded_event import PersistReply

State = TypeVar("State")
Event = TypeVar("Event")


@dataclass(frozen=True)
class Stored(Generic[Event]):
    """Events that a command led to when it was carried out for the first time.

    Attributes:
        events: the events.
        position: where the last of them stands in the journal.
    """

    events: tuple[Event, ...]
    position: int


class Aggregate(Protocol[State, Event]):
    """The state of one stream as far as it was read. Whoever uses it is alone with it.

    Invariant: `state` is what the first `version` events make of the initial one; nothing is awaited between setting
        one and the other.

    Attributes:
        state: the state.
        version: the sequence number of the last event it has seen.
        position: where that event stands in the journal; 0: there is none.
        snapshot_version: the version that the newest known snapshot was saved at.
        is_loaded: whether anything was read yet.
    """

    state: State
    version: int
    position: int
    snapshot_version: int
    is_loaded: bool

    @property
    def stream_id(self) -> str:
        """The stream."""
        ...

    async def load(self, state_type: TypeForm[State] | None) -> None:
        """Read the newest snapshot and what came after it; everything, if there is none or no type to read it as."""
        ...

    async def catch_up(self) -> None:
        """Read what was written since, by whomever. Cancellation leaves the aggregate as it was."""
        ...

    async def persist(
        self, events: Sequence[Event], *, metadata: Mapping[str, Any], event_id: str | None
    ) -> PersistReply[Event]:
        """Store events behind what was seen; the state takes them up only with `take`.

        Raises:
            ExpectedVersionError: there is more in the stream than was seen; nothing was written.
        """
        ...

    def take(self, events: Sequence[Event], reply: PersistReply[Event]) -> None:
        """Let the state follow events that were just stored behind what it has seen."""
        ...

    async def stored_as(self, event_id: str) -> Stored[Event] | None:
        """Return what was stored under a request's id, or None."""
        ...
