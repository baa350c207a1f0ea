"""Waiting until so many replicas hold something, by what they said themselves.

An acknowledgement is a member's vector: it holds everything up to it, durably. So one number says for all entries of a
log up to it that they are held, and no acknowledgement is ever counted twice: members are counted, not messages.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from crdts import VersionVector
from crdts.version_vector import NOTHING_SEEN
from replication.core.agreement import Replicas

QUESTIONS_MAX = 8
"""How many questions of one inquiry may still be answered."""


def required(replicas: Replicas, members: int) -> int:
    """Return how many replicas are meant, out of a cluster of so many, this one included.

    Raises:
        ValueError: it is not a positive number, "majority" or "all".
    """
    if replicas == "majority":
        return members // 2 + 1
    if replicas == "all":
        return members
    if type(replicas) is not int or replicas < 1:
        raise ValueError(f"replicas must be a number from 1, 'majority' or 'all', not {replicas!r}")
    return replicas


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody waits until so many replicas hold an entry."""

    token: Hashable
    log_id: str
    number: int
    replicas: Replicas


@dataclass(slots=True)
class Inquiry:
    """Somebody waits until we hold what so many replicas held when they were asked.

    Attributes:
        token: says what was waited for.
        replicas: how many, this one included.
        target: what we held when we asked.
        answers: what each who answered held.
        asked_at: when it was asked last.
    """

    token: Hashable
    replicas: Replicas
    target: VersionVector = NOTHING_SEEN
    answers: dict[str, VersionVector] = field(default_factory=dict)
    asked_at: float = 0.0


class Quorums:
    """All that somebody waits for.

    Attributes:
        inquiries: by the numbers of the questions that were asked for them; an answer to any of them counts.
    """

    def __init__(self) -> None:
        self._waits: dict[str, dict[Hashable, Wait]] = {}
        self.inquiries: dict[int, Inquiry] = {}

    def wait_for(self, wait: Wait) -> None:
        """Begin to wait."""
        self._waits.setdefault(wait.log_id, {})[wait.token] = wait

    def give_up(self, token: Hashable) -> None:
        """Nobody waits for this any more."""
        for log_id, waits in list(self._waits.items()):
            waits.pop(token, None)
            if not waits:
                del self._waits[log_id]
        self.inquiries = {number: inquiry for number, inquiry in self.inquiries.items() if inquiry.token != token}

    def reached(self, log_ids: Iterable[str], numbers: Callable[[str], Sequence[int]], members: int) -> list[Hashable]:
        """Return and forget the waits that are over, of those for some logs.

        Args:
            log_ids: the logs of which somebody has acknowledged more.
            numbers: says up to which number each replica holds a log, the highest first.
            members: how many replicas there are.
        """
        tokens: list[Hashable] = []
        for log_id in log_ids:
            waits = self._waits.get(log_id)
            if waits:
                held = [0, *numbers(log_id)]  # at place n: what n replicas hold at least
                needed = {wait: required(wait.replicas, members) for wait in waits.values()}
                over = [wait for wait, count in needed.items() if count < len(held) and held[count] >= wait.number]
                for wait in over:
                    del waits[wait.token]
                    tokens.append(wait.token)
                if not waits:
                    del self._waits[log_id]
        return tokens

    def answered(self, held: VersionVector, members: int) -> list[Hashable]:
        """Return and forget the inquiries that are over: enough have answered, and we hold what they held."""
        tokens: dict[Hashable, None] = {}
        for number, inquiry in list(self.inquiries.items()):
            enough = len(inquiry.answers) + 1 >= required(inquiry.replicas, members)
            if enough and held.descends(inquiry.target) and all(map(held.descends, inquiry.answers.values())):
                del self.inquiries[number]
                tokens[inquiry.token] = None
        return list(tokens)

    def ask(self, number: int, inquiry: Inquiry) -> None:
        """Note that a question was asked for an inquiry; of many that were, the first is forgotten."""
        numbers = [earlier for earlier, other in self.inquiries.items() if other is inquiry]
        if len(numbers) >= QUESTIONS_MAX:
            del self.inquiries[numbers[0]]
        self.inquiries[number] = inquiry

    def forget(self, replica_id: str) -> None:
        """Forget what a removed replica has answered: what it held may be lost with it."""
        for inquiry in self.inquiries.values():
            inquiry.answers.pop(replica_id, None)

    @property
    def open_questions(self) -> list[int]:
        """The question that was asked last for each inquiry."""
        return list({id(inquiry): number for number, inquiry in self.inquiries.items()}.values())

    @property
    def logs(self) -> list[str]:
        """The logs of which somebody waits for an entry."""
        return list(self._waits)
