"""From effects to the events that record them: what a process decided when it received an event."""

from collections.abc import Sequence
from typing import Any

from calliope.domain.carried import Carrier
from calliope.domain.delivering import derived_id
from calliope.domain.instants import datetime_of, due_at, microseconds_of
from calliope.domain.process import CancelDeadline, Complete, Effect, Send, SetDeadline
from calliope.domain.process_events import (
    CommandDecided,
    DeadlineCancelled,
    DeadlineSet,
    ProcessCompleted,
    ProcessEvent,
)
from calliope.recorded_event import RecordedEvent


class Decisions:
    """Makes the events that record effects. Their ids are derived, so that deciding again gives the same.

    Args:
        events: carries what deadlines bring.
        commands: carries commands.
    """

    def __init__(self, events: Carrier[Any], commands: Carrier[Any]) -> None:
        self._events = events
        self._commands = commands

    def of(self, effects: Sequence[Effect], stream_id: str, cause: RecordedEvent[Any]) -> list[ProcessEvent]:
        """Return what a process with this stream decided because of a record; completion comes last."""
        since = microseconds_of("timestamp", cause.timestamp)
        decided: list[ProcessEvent] = []
        for index, effect in enumerate(effects):
            effect_id = derived_id(stream_id, cause.id, index)
            match effect:
                case Send(command, to):
                    decided.append(CommandDecided(effect_id, to, self._commands.carried(command)))
                case SetDeadline(name, event, at, after):
                    due = datetime_of(due_at(at, after, since))
                    decided.append(DeadlineSet(effect_id, name, due, self._events.carried(event)))
                case CancelDeadline(name):
                    decided.append(DeadlineCancelled(name))
                case Complete():
                    pass
        if any(isinstance(effect, Complete) for effect in effects):
            decided.append(ProcessCompleted())
        return decided
