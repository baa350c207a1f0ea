"""Counting who holds what, and telling those who wait for it."""

from collections.abc import Hashable, Iterable

from replication.core.agreement import Replicas
from replication.core.effects import Agreed, Effects
from replication.core.holdings import Holdings
from replication.core.members import Members
from replication.core.quorum import Inquiry, Quorums, Wait, required


class Tally:
    """Counts replicas by what each has said to hold durably, ourselves included.

    Args:
        replica_id: who we are.
        holdings: what this journal holds.
        members: the others.
        expected: how many replicas there are at least, ourselves included, known or not.
    """

    def __init__(self, replica_id: str, holdings: Holdings, members: Members, expected: int) -> None:
        self._replica_id = replica_id
        self._holdings = holdings
        self._members = members
        self._expected = expected
        self._quorums = Quorums()

    @property
    def member_count(self) -> int:
        """How many replicas there are, ourselves included: those known, or those expected."""
        return max(len(self._members) + 1, self._expected - len(self._members.fences))

    @property
    def is_somebody_unknown(self) -> bool:
        """Whether more replicas are expected than are known."""
        return len(self._members) + 1 < self._expected

    def holders(self, log_id: str, number: int) -> set[str]:
        """Return the replicas that are known to hold an entry durably."""
        held = self._members.holders(log_id, number)
        if self._holdings.vector[log_id] >= number:
            held.add(self._replica_id)
        return held

    def _numbers(self, log_id: str) -> list[int]:
        """Return up to which number of a log each replica is known to hold it, the highest first."""
        return sorted([*self._members.numbers(log_id), self._holdings.vector[log_id]], reverse=True)

    # Waiting --------------------------------------------------------------------------------------------------

    def wait_for(self, token: Hashable, log_id: str, number: int, replicas: Replicas, effects: Effects) -> None:
        """Announce when so many replicas hold an entry."""
        self._quorums.wait_for(Wait(token, log_id, number, replicas))
        self.announce((log_id,), effects)

    def inquire(self, number: int, inquiry: Inquiry) -> None:
        """Note that a question was asked for an inquiry."""
        self._quorums.ask(number, inquiry)

    def inquiry(self, number: int) -> Inquiry | None:
        """Return for what a question was asked, if somebody still waits for it."""
        return self._quorums.inquiries.get(number)

    @property
    def open_questions(self) -> list[int]:
        """The question that was asked last for each inquiry."""
        return self._quorums.open_questions

    def short_inquiries(self) -> list[Inquiry]:
        """Return the inquiries that too few have answered."""
        return [inquiry for inquiry in self._quorums.inquiries.values() if self.is_short(inquiry)]

    def is_short(self, inquiry: Inquiry) -> bool:
        """Say whether too few have answered."""
        return len(inquiry.answers) + 1 < required(inquiry.replicas, self.member_count)

    def give_up(self, token: Hashable) -> set[str]:
        """Nobody waits any more; return who had agreed by then, ourselves included, as far as an inquiry goes."""
        answered = {self._replica_id}
        for inquiry in self._quorums.inquiries.values():
            if inquiry.token == token:
                answered |= inquiry.answers.keys()
        self._quorums.give_up(token)
        return answered

    def forget(self, replica_id: str) -> None:
        """Do not count what a removed replica has answered."""
        self._quorums.forget(replica_id)

    # Telling --------------------------------------------------------------------------------------------------

    def announce(self, log_ids: Iterable[str], effects: Effects) -> None:
        """Tell those whose waiting is over, as somebody holds more of some logs."""
        tokens = self._quorums.reached(log_ids, self._numbers, self.member_count)
        effects.announce += [Agreed(token) for token in tokens]
        self.announce_answered(effects)

    def announce_all(self, effects: Effects) -> None:
        """Tell those whose waiting is over, whatever they wait for."""
        self.announce(self._quorums.logs, effects)

    def announce_answered(self, effects: Effects) -> None:
        """Tell those whose inquiry is over."""
        if self._quorums.inquiries:
            tokens = self._quorums.answered(self._holdings.vector, self.member_count)
            effects.announce += [Agreed(token) for token in tokens]
