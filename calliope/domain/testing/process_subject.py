"""`ProcessSubject`: processes in scenarios. Events are given, an event comes, commands and deadlines follow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from calliope.domain.process import CancelDeadline, Complete, Effect, Process, Rejected, SetDeadline

State = TypeVar("State")
Event = TypeVar("Event")


@dataclass(frozen=True)
class DeadlinePassed:
    """The time of a deadline has come; if it is not set, nothing happens.

    Attributes:
        name: the deadline.
    """

    name: str


class ProcessSubject(Generic[State, Event]):
    """A process to tell scenarios about: `Scenario(ProcessSubject(process))`.

    What is given and what comes are events, `DeadlinePassed` and `Rejected`; what follows are the effects: `Send`,
    `SetDeadline`, `CancelDeadline`, `Complete`.

    Args:
        process: the process.
    """

    def __init__(self, process: Process[State, Event]) -> None:
        self._process = process

    def outcome(self, given: Sequence[Any], when: Sequence[Any], /) -> Sequence[Effect]:
        """Return the effects of what comes, one after the other; a completed process reacts to nothing."""
        telling = _Telling(self._process)
        for stimulus in given:
            telling.receive(stimulus)
        return [effect for stimulus in when for effect in telling.receive(stimulus)]


class _Telling(Generic[State, Event]):
    """One process during one scenario."""

    def __init__(self, process: Process[State, Event]) -> None:
        self._process = process
        self._state = process.initial
        self._deadlines: dict[str, Any] = {}
        self._completed = False

    def receive(self, stimulus: Any) -> tuple[Effect, ...]:
        event = self._event_of(stimulus)
        if self._completed or event is None:
            return ()
        self._state, effects = self._process.after(self._state, event)
        for effect in effects:
            self._note(effect)
        return effects

    def _event_of(self, stimulus: Any) -> Any:
        if isinstance(stimulus, DeadlinePassed):
            return self._deadlines.pop(stimulus.name, None)
        if isinstance(stimulus, Rejected):
            return None if self._process.on_rejected is None else self._process.on_rejected(stimulus)
        return stimulus

    def _note(self, effect: Effect) -> None:
        match effect:
            case SetDeadline(name, event):
                self._deadlines[name] = event
            case CancelDeadline(name):
                self._deadlines.pop(name, None)
            case Complete():
                self._completed = True
