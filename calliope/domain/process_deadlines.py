"""The deadlines of processes: waited for, and recorded once when they are reached."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio

from calliope.domain.agenda import Agenda
from calliope.domain.delivering import derived_id
from calliope.domain.instants import datetime_of, microseconds_of
from calliope.domain.process_events import DeadlineReached, ProcessEvent
from calliope.domain.process_instance import ProcessInstance
from calliope.event_stream import EventStream

REACHED_MAX = 256
"""How many deadlines are recorded together, at most."""


@dataclass(frozen=True)
class _Deadline:
    """What is waited for."""

    process_id: str
    deadline_id: str
    due: int


class ProcessDeadlines:
    """Waits for deadlines and records that they are reached, under an id derived from the deadline's.

    Args:
        stream_of: gives the stream of a process.
        metadata: for what is recorded.
        agenda: waits.
    """

    def __init__(
        self,
        stream_of: Callable[[str], EventStream[ProcessEvent]],
        metadata: dict[str, str],
        agenda: Agenda[Any],
    ) -> None:
        self._stream_of = stream_of
        self._metadata = metadata
        self._agenda: Agenda[_Deadline] = agenda
        self._awaited: dict[str, set[_Deadline]] = {}

    def attend(self, process_id: str, instance: ProcessInstance[Any, Any]) -> None:
        """Wait for the deadlines that a process has now, and for no others of it."""
        wanted = {
            _Deadline(process_id, deadline_id, microseconds_of("due", record.data.due))
            for deadline_id, record in instance.deadlines.items()
        }
        awaited = self._awaited.pop(process_id, set())
        for deadline in awaited - wanted:
            self._agenda.discard(deadline)
        for deadline in wanted - awaited:
            self._agenda.put(deadline, deadline.due)
        if wanted:
            self._awaited[process_id] = wanted

    async def reach(self) -> None:
        """Record deadlines as they are reached, until cancelled."""
        while True:
            due = await self._agenda.next_due(REACHED_MAX)
            async with anyio.create_task_group() as tasks:
                for deadline in due:
                    tasks.start_soon(self._record, deadline)

    async def _record(self, deadline: _Deadline) -> None:
        stream = self._stream_of(deadline.process_id)
        reached = DeadlineReached(deadline.deadline_id, datetime_of(deadline.due))
        event_id = derived_id(stream.stream_id, deadline.deadline_id, "reached")
        await stream.persist(reached, event_id=event_id, metadata=self._metadata)
