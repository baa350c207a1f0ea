"""What a receptor could not bring to an end, as events of its own stream, `<name>`."""

from dataclasses import dataclass

from calliope.domain.carried import Carried
from calliope.event import event


@event("calliope.receptor.rejected")
@dataclass(frozen=True)
class ReceptorRejected:
    """A command was refused, which is an answer.

    Attributes:
        cause_id: the id of the event that led to it.
        command_id: the command's id.
        to: the stream id of the aggregate.
        command: the command.
        reasons: why.
    """

    cause_id: str
    command_id: str
    to: str
    command: Carried
    reasons: tuple[str, ...]


@event("calliope.receptor.parked")
@dataclass(frozen=True)
class ReceptorParked:
    """A command failed again and again; the receptor went on without it.

    Attributes:
        cause_id: the id of the event that led to it.
        command_id: the command's id.
        to: the stream id of the aggregate.
        command: the command.
        error: the last error.
    """

    cause_id: str
    command_id: str
    to: str
    command: Carried
    error: str


@event("calliope.receptor.retried")
@dataclass(frozen=True)
class ReceptorRetried:
    """A parked command was delivered, or refused, after all.

    Attributes:
        command_id: the command's id.
    """

    command_id: str


ReceptorEvent = ReceptorRejected | ReceptorParked | ReceptorRetried
