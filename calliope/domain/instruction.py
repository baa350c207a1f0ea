"""What a command comes with: its name, its deadline, its context, and the version that its sender has seen."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID, uuid5

from calliope.domain.errors import CommandExpiredError
from calliope.errors import ExpectedVersionError, shortened
from calliope.event_stream import MicrosecondClock
from calliope.limits import checked_number, checked_text

COMMAND_ID_BYTES_MAX = 512
"""UTF-8 bytes of a command id."""

_COMMANDS = UUID("6f8f3a1c-52bb-5a0e-9d0c-3f1a7c2b9e54")
"""The namespace of event ids that are made from command ids. It never changes: duplicates are recognised by it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Instruction:
    """The circumstances of one execution of a command, checked.

    Attributes:
        stream_id: the aggregate.
        event_id: the request's id, by which the journal recognises the command in this stream; None: it is new.
        metadata: for the events. With an event id it tells this execution from all others of the same command.
        deadline: when it is too late.
        expected_version: the version that it is meant for.
    """

    stream_id: str
    event_id: str | None
    metadata: Mapping[str, Any]
    deadline: datetime | None
    expected_version: int | None

    @classmethod
    def of(
        cls,
        stream_id: str,
        command_id: str | UUID | None,
        metadata: Mapping[str, Any] | None,
        deadline: datetime | None,
        expected_version: int | None,
    ) -> Self:
        """Return the checked circumstances; `Repository.execute` says what they are.

        Raises:
            TypeError, ValueError: one of them is not legal.
        """
        if expected_version is not None:
            checked_number("expected_version", expected_version)
        if deadline is not None:
            _check_deadline(deadline)
        if not isinstance(metadata, Mapping | None):
            raise TypeError(f"metadata must be a mapping, not {shortened(metadata)}")
        if command_id is None:
            return cls(stream_id, None, metadata or {}, deadline, expected_version)
        name = str(command_id) if isinstance(command_id, UUID) else command_id
        checked_text("command_id", name, COMMAND_ID_BYTES_MAX)
        marks = {"command_id": name, "execution_id": os.urandom(8).hex()}
        event_id = str(uuid5(_COMMANDS, f"{stream_id}\0{name}"))
        return cls(stream_id, event_id, {**(metadata or {}), **marks}, deadline, expected_version)

    def check(self, version: int, clock: MicrosecondClock) -> None:
        """Raise if the aggregate's version is not the expected one, or it is too late."""
        if self.deadline is not None and _EPOCH + timedelta(microseconds=clock()) >= self.deadline:
            raise CommandExpiredError(self.stream_id, self.deadline)
        if self.expected_version is not None and version != self.expected_version:
            raise ExpectedVersionError(self.expected_version, version, self.stream_id)

    def wrote(self, metadata: Mapping[str, Any]) -> bool:
        """Tell whether events with such metadata were stored by this execution, and not by an earlier one."""
        return bool(metadata.get("execution_id") == self.metadata["execution_id"])


def _check_deadline(deadline: object) -> None:
    if not isinstance(deadline, datetime):
        raise TypeError(f"deadline must be a datetime, not {shortened(deadline)}")
    if deadline.utcoffset() is None:
        raise ValueError(f"deadline must be an aware datetime, with a time zone, not {deadline!r}")
