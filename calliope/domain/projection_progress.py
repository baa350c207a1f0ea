"""How far a projection has come, and those who wait for it to come further.

Invariant: while a view serves, what was seen never goes back.
Invariant: nobody polls; whoever moves the mark wakes those whose position it passes.
"""

from dataclasses import dataclass
from enum import StrEnum

import anyio

from calliope.domain.projection_errors import ProjectionParkedError, ProjectionStoppedError


class ProjectionState(StrEnum):
    """What a projection does at this moment."""

    STOPPED = "stopped"  # nobody runs it
    RUNNING = "running"  # it handles events
    IDLE = "idle"  # it waits for events to come
    PARKED = "parked"  # it stands at an event that it cannot handle


@dataclass(frozen=True)
class Parked:
    """The event at which a projection stands still.

    Attributes:
        position: the event's position.
        event_type: its stored type name.
        stream_id: its stream.
        error: the last error, in words.
        attempts: how often its handler was called.
    """

    position: int
    event_type: str
    stream_id: str
    error: str
    attempts: int


@dataclass(frozen=True)
class ProjectionStatus:
    """A projection at a glance.

    Attributes:
        state: what it does.
        position: up to where it has seen the journal.
        head: the journal's last position.
        lag: how many positions of the journal it has not seen; 0 if nothing that it takes is among them.
        parked: where it stands still, and why; None unless its state is that.
    """

    state: ProjectionState
    position: int
    head: int
    lag: int
    parked: Parked | None


class Progress:
    """The mark up to which a projection has seen, and who waits for it.

    Args:
        name: the projection.

    Attributes:
        seen: the last position that was seen, with all before it.
        state: what the projection does.
        parked: where it stands still.
        is_live: whether all that was stored when it began was seen.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: dict[anyio.Event, int] = {}
        self.seen = 0
        self.is_live = False
        self.state = ProjectionState.STOPPED
        self.parked: Parked | None = None

    def start_at(self, position: int) -> None:
        """Set the mark to where the view stands; it may be another view than before, that has seen less."""
        self.seen = position
        self.reach(position)

    def reach(self, position: int) -> None:
        """Move the mark on, and wake those who wait for a position up to it."""
        self.seen = max(self.seen, position)
        for woken, wanted in self._waiting.items():
            if wanted <= self.seen:
                woken.set()

    def park(self, parked: Parked) -> None:
        """Stand still; whoever waits for the event or a later one learns why."""
        self.parked = parked
        self.is_live = False
        self.state = ProjectionState.PARKED
        self._wake_all()

    def begin(self) -> None:
        """Handle what is stored."""
        self.parked = None
        self.is_live = False
        self.state = ProjectionState.RUNNING

    def go_live(self) -> None:
        """Have seen all that was stored."""
        self.is_live = True
        self.state = ProjectionState.IDLE
        self._wake_all()

    def work(self) -> None:
        """Handle events now."""
        self.state = ProjectionState.RUNNING

    def rest(self) -> None:
        """Have handled the events that had come."""
        self.state = ProjectionState.IDLE if self.is_live else ProjectionState.RUNNING

    def stop(self) -> None:
        """Let nobody wait for what will not come."""
        self.parked = None
        self.is_live = False
        self.state = ProjectionState.STOPPED
        self._wake_all()

    async def wait_until_live(self, position: int) -> None:
        """Return when the projection is live or has seen a position; raise as `wait_for`."""
        if not self.is_live:
            await self._wait(position)
        if not self.is_live:
            self._check_seen(position)

    async def wait_for(self, position: int) -> None:
        """Return when a position was seen.

        Raises:
            ProjectionParkedError: the projection stands still before it.
            ProjectionStoppedError: it was stopped before it.
        """
        while self.seen < position:
            await self._wait(position)
            if not self.is_live:
                self._check_seen(position)

    async def _wait(self, position: int) -> None:
        """Return when a position was seen or the state has changed; a projection that nobody runs yet may still be."""
        if self.seen >= position or self.parked is not None:
            return
        woken = anyio.Event()
        self._waiting[woken] = position
        try:
            await woken.wait()
        finally:
            del self._waiting[woken]

    def _check_seen(self, position: int) -> None:
        if self.seen >= position:
            return
        if self.parked is not None:
            raise ProjectionParkedError(self._name, self.parked.position, self.parked.error)
        raise ProjectionStoppedError(self._name, position, self.seen)

    def _wake_all(self) -> None:
        for woken in self._waiting:
            woken.set()
