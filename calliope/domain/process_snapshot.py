"""Snapshots of processes: what a long-lived one has become, so that it need not be folded from its first event on.

A snapshot names the commands and deadlines that are open by their places in the stream, and they are read from there:
the stream stays the one place that says what they are.
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from typing_extensions import TypeForm

from calliope.domain.carried import Carried, Carrier
from calliope.event import event
from calliope.limits import SNAPSHOT_BYTES_MAX, checked_number
from calliope.payload import Encode, checked_encoder, decode_plain, encode_plain
from calliope.recorded_event import RecordedEvent

State = TypeVar("State")

_PLAIN = ""


@event("calliope.process.snapshot")
@dataclass(frozen=True)
class ProcessSnapshot:
    """What a process has become.

    Attributes:
        state: its state.
        through: the position of the last event that it received.
        completed: whether it has ended.
        undelivered: where in its stream the commands stand that wait for an answer, in order.
        deadlines: where the deadlines stand that it waits for.
        parked: why its next command is not delivered, or None.
        owner: who delivers what follows.
    """

    state: Carried
    through: int
    completed: bool
    undelivered: tuple[int, ...]
    deadlines: tuple[int, ...]
    parked: str | None
    owner: str | None


class StateForm(Generic[State]):
    """Puts states into snapshots and takes them out again, and says when a snapshot is due.

    Args:
        state_type: the class of the state, a union of classes, or the type of plain data; None: there are no snapshots.
        every: after how many events of a process' stream a snapshot is saved; 0: never.

    Raises:
        TypeError, ValueError: an argument is not legal, or snapshots are wanted and `state_type` is missing.
    """

    def __init__(self, state_type: TypeForm[State] | None, every: int) -> None:
        if checked_number("snapshot_every", every) and state_type is None:
            raise ValueError("snapshots need a state_type, to be read back")
        self.is_given = state_type is not None
        self.every = every
        self._carrier: Carrier[State] | None = None
        self._state_type = state_type
        self._encode: Encode = encode_plain
        try:
            self._carrier = Carrier(state_type) if state_type is not None else None
        except TypeError:  # plain data, such as dict[str, int]
            self._encode = checked_encoder(state_type, SNAPSHOT_BYTES_MAX)

    def carried(self, state: State) -> Carried:
        """Return the stored form.

        Raises:
            TypeError, EventEncodingError: the state is not of the type, or cannot be stored.
        """
        if self._carrier is not None:
            return self._carrier.carried(state)
        return Carried(_PLAIN, 1, decode_plain(self._encode(state)))

    def state_in(self, carried: Carried, record: RecordedEvent[Any]) -> State:
        """Return the state of a snapshot.

        Args:
            carried: its stored form.
            record: the last event that it has seen, for errors to name.

        Raises:
            Exception: it cannot be read as the type.
        """
        if self._carrier is not None:
            return self._carrier.value_of(carried, record)
        if carried.type != _PLAIN:
            raise ValueError(f"it is a {carried.type!r}, and no plain data")
        state: State = msgspec.convert(carried.data, self._state_type)
        return state
