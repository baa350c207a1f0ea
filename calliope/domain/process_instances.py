"""The processes in memory: loaded when something happens to them, dropped when there are many and nothing does."""

from collections import OrderedDict
from collections.abc import Callable, Container
from typing import Generic, TypeVar

from calliope.domain.process_instance import ProcessInstance

State = TypeVar("State")
Event = TypeVar("Event")

PROCESSES_CACHED_MAX = 1_000
"""How many processes that nothing happens to are kept in memory."""


class ProcessInstances(Generic[State, Event]):
    """A cache of processes by id.

    Args:
        make: returns an empty process of an id.
    """

    def __init__(self, make: Callable[[str], ProcessInstance[State, Event]]) -> None:
        self._make = make
        self._cached: OrderedDict[str, ProcessInstance[State, Event]] = OrderedDict()

    async def get(self, process_id: str) -> ProcessInstance[State, Event]:
        """Return a process, as far as this program knows its stream."""
        instance = self._cached.get(process_id)
        if instance is None:
            instance = self._cached[process_id] = self._make(process_id)
        self._cached.move_to_end(process_id)
        if instance.sequence_number == 0:  # it is new, or somebody else is still loading it
            await instance.load()
        return instance

    async def current(self, process_id: str) -> ProcessInstance[State, Event]:
        """Return a process with all that its stream holds now."""
        instance = await self.get(process_id)
        await instance.refresh()
        return instance

    def trim(self, used: Container[str]) -> None:
        """Drop those that were used longest ago, but none that is in use."""
        excess = len(self._cached) - PROCESSES_CACHED_MAX
        for process_id in [key for key in list(self._cached)[: max(excess, 0)] if key not in used]:
            del self._cached[process_id]
