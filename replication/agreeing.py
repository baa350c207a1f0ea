"""`CoreAgreement`: those who wait here until several replicas hold something; the core knows when they do."""

from collections.abc import Callable, Hashable

import anyio

from crdts import VersionVector
from replication.core.agreement import Replicas
from replication.core.effects import Effects
from replication.core.quorum import required
from replication.core.replica import ReplicaCore
from replication.errors import QuorumTimeoutError


class CoreAgreement:
    """Waiting for others; see `replication.core.agreement.Agreement`.

    Args:
        core: knows what others hold.
        clock: a monotonic clock, in seconds.
        do: carries out what the core wants done.
        follow: tells the core what has become durable here.
    """

    def __init__(
        self,
        core: ReplicaCore,
        clock: Callable[[], float],
        do: Callable[[Effects], None],
        follow: Callable[[], None],
    ) -> None:
        self._core = core
        self._clock = clock
        self._do = do
        self._follow = follow
        self._waiting: dict[Hashable, anyio.Event] = {}

    @property
    def stable(self) -> VersionVector:
        """The stable version: no operation that has not seen it can still arrive."""
        return self._core.stable

    async def acknowledged(self, log_id: str, number: int, replicas: Replicas, timeout: float) -> None:
        """Return when so many replicas hold an entry durably; see `Agreement`."""
        needed = required(replicas, self._core.member_count)
        self._follow()
        if len(self._core.holders(log_id, number)) >= needed:
            return
        token = object()
        try:
            agreed = await self._until_agreed(
                token, timeout, lambda now: self._core.wait_for(now, token, log_id, number, replicas)
            )
            if not agreed:
                raise QuorumTimeoutError(needed, self._core.holders(log_id, number))
        finally:
            self._core.give_up(token)

    async def caught_up(self, replicas: Replicas, timeout: float) -> None:
        """Return when this journal holds all that so many replicas held when this was called; see `Agreement`."""
        needed = required(replicas, self._core.member_count)
        self._follow()
        token = object()
        answered = {self._core.replica_id}
        try:
            agreed = await self._until_agreed(token, timeout, lambda now: self._core.ask(now, token, replicas))
        finally:
            answered |= self._core.give_up(token)
        if not agreed:
            raise QuorumTimeoutError(needed, answered)

    def agreed(self, token: Hashable) -> None:
        """Let who waits for something go on: the core says that it is so."""
        event = self._waiting.get(token)
        if event is not None:
            event.set()

    async def _until_agreed(self, token: Hashable, timeout: float, ask: Callable[[float], Effects]) -> bool:
        event = self._waiting[token] = anyio.Event()
        try:
            self._do(ask(self._clock()))
            with anyio.move_on_after(timeout):
                await event.wait()
            return event.is_set()
        finally:
            del self._waiting[token]
