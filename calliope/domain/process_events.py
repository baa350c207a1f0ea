"""What a process received and decided, as events of its own stream, `<name>-<process id>`."""

from dataclasses import dataclass
from datetime import datetime

from calliope.domain.carried import Carried
from calliope.event import event


@event("calliope.process.event-received")
@dataclass(frozen=True)
class EventReceived:
    """The process received an event; what it decided follows in the same commit.

    Attributes:
        cause_id: the id of the record that brought it.
        position: that record's position; a process receives events in this order.
        event: the event.
        deadline_id: the deadline that brought it, if one did.
    """

    cause_id: str
    position: int
    event: Carried
    deadline_id: str | None = None


@event("calliope.process.command-decided")
@dataclass(frozen=True)
class CommandDecided:
    """The process wants a command carried out.

    Attributes:
        command_id: derived from the process, the cause and the command's place among the effects.
        to: the stream id of the aggregate.
        command: the command.
    """

    command_id: str
    to: str
    command: Carried


@event("calliope.process.deadline-set")
@dataclass(frozen=True)
class DeadlineSet:
    """The process wants to receive an event at a time.

    Attributes:
        deadline_id: derived as a command id is.
        name: names the deadline within the process.
        due: when.
        event: what it then receives.
    """

    deadline_id: str
    name: str
    due: datetime
    event: Carried


@event("calliope.process.deadline-cancelled")
@dataclass(frozen=True)
class DeadlineCancelled:
    """The process does not wait for a deadline any more."""

    name: str


@event("calliope.process.deadline-reached")
@dataclass(frozen=True)
class DeadlineReached:
    """A deadline's time had come. The process receives its event when everything before this record is handled.

    Attributes:
        deadline_id: the deadline.
        due: when it was due; it is recorded then or later.
    """

    deadline_id: str
    due: datetime


@event("calliope.process.completed")
@dataclass(frozen=True)
class ProcessCompleted:
    """The process has ended."""


@event("calliope.process.command-delivered")
@dataclass(frozen=True)
class CommandDelivered:
    """A command was carried out."""

    command_id: str


@event("calliope.process.command-rejected")
@dataclass(frozen=True)
class CommandRejected:
    """A command was refused, which is an answer.

    Attributes:
        command_id: the command's id.
        to: the stream id of the aggregate.
        command: the command.
        reasons: why.
    """

    command_id: str
    to: str
    command: Carried
    reasons: tuple[str, ...]


@event("calliope.process.command-parked")
@dataclass(frozen=True)
class CommandParked:
    """A command failed again and again; it and those behind it wait until somebody retries.

    Attributes:
        command_id: the command's id.
        error: the last error.
    """

    command_id: str
    error: str


@event("calliope.process.command-retried")
@dataclass(frozen=True)
class CommandRetried:
    """Somebody wants a parked command delivered after all."""

    command_id: str


ProcessEvent = (
    EventReceived
    | CommandDecided
    | DeadlineSet
    | DeadlineCancelled
    | DeadlineReached
    | ProcessCompleted
    | CommandDelivered
    | CommandRejected
    | CommandParked
    | CommandRetried
)
