"""Conflicts: what arrives in a replicated stream concurrent to what a handle had observed.

A handle that follows its stream observes what arrives in the moment in which it arrives, so "not observed" would depend
on who reads first. What stands before a record in the stream does not. So a record that arrives is a conflict if its
writer had not observed something that stands before it and that the handle has observed.

What was there before it was asked for conflicts is one as long as the handle has not observed it.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

from calliope.flow.inlet import Inlet
from calliope.observing import Observed
from calliope.recorded_event import RecordedEvent
from crdts import VersionVector

E = TypeVar("E")


class ConflictInlet(Generic[E]):
    """Lets those records of a stream pass that are conflicts.

    Args:
        inlet: all records of the stream, from somewhere on.
        observed: what the handle has observed, as it grows.
        before: what the handle had observed when it was asked for conflicts.
        position: where the journal ended then.
        replica_id: whose handle it is.
    """

    def __init__(
        self,
        inlet: Inlet[RecordedEvent[E]],
        observed: Observed,
        before: VersionVector,
        position: int,
        replica_id: str,
    ) -> None:
        self._inlet = inlet
        self._observed = observed
        self._before = before
        self._position = position
        self._replica_id = replica_id
        self._passed = before
        self._written = before

    async def pull(self, limit: int, /) -> Sequence[RecordedEvent[E]]:
        """Hand out the next conflicts; see `Inlet.pull`."""
        while records := await self._inlet.pull(limit):
            conflicts = [record for record in records if self._passes(record)]
            if conflicts:
                return conflicts
        return ()

    async def aclose(self) -> None:
        """Close the inlet."""
        await self._inlet.aclose()

    def _passes(self, record: RecordedEvent[E]) -> bool:
        version = record.version
        is_ours = record.replica_id == self._replica_id
        is_conflict = not is_ours and self._is_conflict(record)
        self._passed = self._passed.merge(version)
        if is_ours:
            self._written = self._written.merge(version)
        return is_conflict

    def _is_conflict(self, record: RecordedEvent[E]) -> bool:
        observed = self._observed.version.merge(self._written)  # what was written is observed before `persist` returns
        if record.position <= self._position:
            return record.version.concurrent(observed)
        return not (self._before.descends(record.version) or record.version.descends(observed.meet(self._passed)))
