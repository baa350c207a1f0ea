"""`KeySnapshots`: states for a replica that is new or long gone, a page of keys at a time, and from the other side.

The states of a page contain everything that the log contained when the page was made, and so everything that it
contained at the cut with which the snapshot began.
"""

from collections.abc import Sequence
from typing import NamedTuple

from anyio.lowlevel import checkpoint

from calliope.limits import STREAM_ID_BYTES_MAX, checked_text
from calliope.stores.replica_store import ReplicaStore, StoredState
from replication.checkpoints import Checkpoints
from replication.errors import MalformedStateError
from replication.key_space import KeySpace
from replication.key_state import KeyState

PAGE_STATES = 256
"""How many states are read at once."""

STATES_BEHIND_MAX = 1_024
"""From so many keys on whose stored states lack operations, a checkpoint is made before a snapshot begins."""

STATES_AT_A_STRETCH = 64
"""How many states are decoded or joined before other tasks get their turn: a few milliseconds."""

NOBODY = "~"
"""Who would write to states that are only looked at."""


class ExportedStates(NamedTuple):
    """A page of states.

    Attributes:
        states: the states, in the order of their keys.
        after_key: the last key.
        complete: whether no key follows.
    """

    states: list[StoredState]
    after_key: str
    complete: bool


class KeySnapshots:
    """Exports states, and joins those of others.

    Args:
        store: the journal's store.
        keys: its keys.
        checkpoints: its checkpoints.
    """

    def __init__(self, store: ReplicaStore, keys: KeySpace, checkpoints: Checkpoints) -> None:
        self._store = store
        self._keys = keys
        self._checkpoints = checkpoints

    async def export(self, after_key: str, bytes_max: int) -> ExportedStates:
        """Return states of keys after a key, at least one if there is one, of about `bytes_max` bytes.

        They contain everything that is in the log now.
        """
        await self._keys.reach()
        if not after_key and len(self._keys.behind) > STATES_BEHIND_MAX:
            await self._checkpoints.checkpoint()
        async with self._checkpoints.lock:
            return await self._page(after_key, bytes_max)

    async def merge(self, states: Sequence[StoredState]) -> None:
        """Join states of another replica into ours, durably, all or nothing.

        Raises:
            MalformedStateError: one of them is none, or does not join with ours; nothing was changed.
            JournalError: they could not be stored; see its subclasses.
        """
        self._keys.renew()
        theirs = {}
        for number, state in enumerate(states, 1):
            theirs[state.key] = _decoded(self._keys.log_id, state), state
            await _turn(number)
        await self._keys.reach()
        async with self._checkpoints.lock:
            joined = []
            for number, (decoded, state) in enumerate(theirs.values(), 1):
                joined.append(await self._joined(decoded, state))
                await _turn(number)
            await self._keys.save(joined)
            for key, (decoded, _) in theirs.items():
                shown = self._keys.cache.peek(key)
                if shown is not None:
                    shown.merge(decoded)
                    self._keys.cache.changed(shown)
        self._keys.watches.notify_all(theirs.keys())

    async def _page(self, after_key: str, bytes_max: int) -> ExportedStates:
        found: list[StoredState] = []
        byte_count = 0
        behind = sorted(key for key in self._keys.behind if key > after_key)
        while True:
            stored = await self._store.states(after=after_key, limit=PAGE_STATES)
            is_last = len(stored) < PAGE_STATES
            through = None if is_last else stored[-1].key
            by_key = {state.key: state for state in stored}
            fresh = [key for key in behind if key > after_key and (through is None or key <= through)]
            for key in sorted(by_key.keys() | set(fresh)):
                if byte_count >= bytes_max:
                    return ExportedStates(found, after_key, complete=False)
                state = (await self._keys.look(key)).store() if key in self._keys.behind else by_key[key]
                found.append(state)
                byte_count += len(state.body) + len(key)
                after_key = key
            if is_last:
                return ExportedStates(found, after_key, complete=True)

    async def _joined(self, theirs: KeyState, stored: StoredState) -> StoredState:
        ours = await self._keys.look(theirs.key)
        if ours.is_empty:
            return theirs.store() if theirs.unread or theirs.opaque else theirs.stored_as(stored.body)
        joined = KeyState.load(theirs.key, self._keys.log_id, ours.store())
        joined.merge(theirs)
        return joined.store()


async def check_states(states: Sequence[StoredState]) -> None:
    """Check that states of another replica can be read.

    Raises:
        MalformedStateError: one of them is none.
    """
    for number, state in enumerate(states, 1):
        _decoded(NOBODY, state)
        await _turn(number)


async def _turn(number: int) -> None:
    """Let others have their turn now and then."""
    if number % STATES_AT_A_STRETCH == 0:
        await checkpoint()


def _decoded(log_id: str, stored: StoredState) -> KeyState:
    try:
        checked_text("the key", stored.key, STREAM_ID_BYTES_MAX)
    except (TypeError, ValueError) as error:
        raise MalformedStateError(str(stored.key), str(error)) from error
    return KeyState.load(stored.key, log_id, stored)
