"""`PersistLane`: what effects persist, one after the other; what they send follows when that is durable.

What later effects send does not overtake what waits here.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence

import anyio

from calliope.errors import CalliopeError, ForkedLogError, JournalClosedError, LogGapError, MalformedEntryError
from calliope.stores.entry_checks import checked_changes
from calliope.stores.replica_store import ReplicaStore, StoredState
from crdts import MalformedOperationError
from replication.core.effects import (
    Append,
    Effects,
    Install,
    MergeStates,
    Persist,
    Receive,
    Refuse,
    Remember,
    Stage,
    Unstage,
    UseLog,
)
from replication.core.replica import ReplicaCore
from replication.errors import MalformedStateError
from replication.key_snapshots import check_states
from replication.replicator import Replicator
from replication.staging import StagingArea

RETRY_SECONDS = 1.0
"""How long the worker waits after the store has failed."""

logger = logging.getLogger("calliope.replication")


class PersistLane:
    """Carries effects out, in order.

    Args:
        core: is told what is durable, or has failed.
        store: the journal's store.
        staging: keeps what is there of a snapshot.
        clock: a monotonic clock, in seconds.
        do_the_rest: sends, reads, refuses and announces what effects say, once what they persist is durable.
        follow: tells the core what has become durable in the log.
    """

    def __init__(
        self,
        core: ReplicaCore,
        store: ReplicaStore,
        staging: StagingArea,
        clock: Callable[[], float],
        do_the_rest: Callable[[Effects], None],
        follow: Callable[[], None],
    ) -> None:
        self._core = core
        self._store = store
        self._staging = staging
        self._clock = clock
        self._do_the_rest = do_the_rest
        self._follow = follow
        self._replicator: Replicator
        self._work: deque[Effects] = deque()
        self._underway: list[Effects] = []
        self._work_came = anyio.Event()
        self._sends_waiting = 0

    def do(self, effects: Effects) -> None:
        """Carry effects out: at once if nothing must be durable first, otherwise in turn."""
        if effects.persist or (self._sends_waiting and effects.send):
            if effects.send:
                self._sends_waiting += 1
            self._work.append(effects)
            self._work_came.set()
        else:
            self._do_the_rest(effects)

    def forget(self, peer: str) -> None:
        """A connection is gone, and with it what waits to be sent over it: it does not belong to the next one."""
        for effects in [*self._underway, *self._work]:
            if effects.send:
                effects.send[:] = [send for send in effects.send if send.peer != peer]
                self._sends_waiting -= not effects.send

    async def start(self, replicator: Replicator) -> None:
        """Decide to which log the journal writes, which must be durable before anything else.

        Args:
            replicator: writes to that log, and takes over states of others.

        Raises:
            JournalError: it is not; what is written now could be numbered as others know it already.
        """
        self._replicator = replicator
        for persist in self._core.start(self._clock()).persist:
            await self._persist(persist)

    async def run(self) -> None:
        """Carry out what waits, in order, until cancelled or the journal is closed."""
        while True:
            if not self._work:
                self._work_came = anyio.Event()
                await self._work_came.wait()
            effects = self._work.popleft()
            self._underway = self._receives_together(effects) or [effects]
            if len(self._underway) > 1:
                await self._receive_together(self._underway)
            else:
                for persist in effects.persist:
                    await self._carry_out(persist)
            done, self._underway = self._underway, []
            for effects in done:
                if effects.send:
                    self._sends_waiting -= 1
                self._do_the_rest(effects)

    def _receives_together(self, first: Effects) -> list[Effects]:
        """Return the effects, from the first on, that do nothing but receive: they are stored in one commit."""
        together: list[Effects] = []
        effects: Effects | None = first
        while effects is not None and _only_receives(effects):
            together.append(effects)
            effects = self._work.popleft() if self._work and _only_receives(self._work[0]) else None
        return together if len(together) > 1 else []

    async def _receive_together(self, together: Sequence[Effects]) -> None:
        receives = [persist for effects in together for persist in effects.persist if isinstance(persist, Receive)]
        entries = [entry for receive in receives for entry in receive.entries]
        try:
            await self._store.receive(entries)
        except CalliopeError:
            for receive in receives:  # one of them is at fault: find out which
                await self._carry_out(receive)
            return
        self._follow()
        for receive in receives:
            self.do(self._core.stored(self._clock(), receive))

    async def _carry_out(self, persist: Persist) -> None:
        try:
            done = await self._persist(persist)
        except JournalClosedError:
            raise
        except (CalliopeError, MalformedOperationError) as error:
            self.do(self._core.failed(self._clock(), persist))
            if isinstance(persist, (Receive, Stage)) and isinstance(error, _FAULTS_OF_PEERS):
                refusal = Refuse(persist.peer, f"sent what cannot be stored: {error}")
                self._do_the_rest(Effects(refuse=[refusal]))
                return
            logger.warning("%s was not stored: %s", type(persist).__name__, error)
            if isinstance(persist, (Receive, Stage, MergeStates)):
                await anyio.sleep(RETRY_SECONDS)
        else:
            if done is not None:
                self.do(done)

    async def _persist(self, persist: Persist) -> Effects | None:
        if isinstance(persist, Receive):
            await self._store.receive(persist.entries, snapshot=persist.snapshot)
            self._follow()
            return self._core.stored(self._clock(), persist)
        if isinstance(persist, Remember):
            await self._store.remember(persist.name, persist.fact)
        elif isinstance(persist, UseLog):
            await self._replicator.use_log(persist.log_id)
        elif isinstance(persist, Append):
            await self._store.append_operations(persist.changes)
        elif isinstance(persist, Stage):
            await check_states(persist.chunk.states)
            for entry in persist.chunk.entries:
                if entry.kind == "events":
                    checked_changes(entry)
            await self._staging.stage(persist.number, persist.chunk)
            return self._core.staged(self._clock(), persist)
        elif isinstance(persist, Unstage):
            await self._staging.clear()
        elif isinstance(persist, MergeStates):
            await self._merge(persist.states)
            return self._core.merged(self._clock(), persist)
        elif isinstance(persist, Install):
            await self._replicator.install(persist.vector)
            return self._core.installed(self._clock(), persist)
        return None

    async def _merge(self, states: Sequence[StoredState]) -> None:
        """Merge all states; if one does not join with ours, all others."""
        try:
            await self._replicator.merge_states(states)
        except MalformedStateError as error:
            if len(states) > 1:
                for state in states:
                    await self._merge([state])
            else:
                logger.error("a state of a snapshot is left out: %s", error)


def _only_receives(effects: Effects) -> bool:
    return (
        len(effects.persist) == 1
        and isinstance(effects.persist[0], Receive)
        and effects.persist[0].snapshot is None
        and not (effects.send or effects.read)
    )


_FAULTS_OF_PEERS = (MalformedEntryError, ForkedLogError, LogGapError, MalformedOperationError, MalformedStateError)
"""What a peer did wrong; any other failure is the store's, and tried again."""
