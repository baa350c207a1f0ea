"""Reads at a quorum: replicas are asked what they hold, also those whom the asker is not connected with.

A question is passed on along every link, once; its answers go back the way it came. An answer, or a question, may be
lost: what is not answered in time is asked again, under a new number.
"""

from collections import OrderedDict
from collections.abc import Hashable

from replication.core.agreement import Replicas
from replication.core.anti_entropy import AntiEntropy
from replication.core.effects import Effects, Send
from replication.core.holdings import Holdings
from replication.core.link import Link
from replication.core.members import Members
from replication.core.messages import Answer, Question
from replication.core.neighbours import Neighbours
from replication.core.quorum import Inquiry
from replication.core.scrutiny import Scrutiny
from replication.core.settings import Settings
from replication.core.tally import Tally

ROUTES_MAX = 1024
"""How many questions of others are remembered, to lead their answers back."""


class Questions:
    """Asks, answers, and passes on.

    Args:
        replica_id: who we are.
        holdings: what this journal holds.
        scrutiny: what others may claim.
        members: the others.
        neighbours: the links.
        anti_entropy: sends the asker what it lacks.
        tally: knows who waits for answers.
        settings: times and bounds.
    """

    def __init__(
        self,
        replica_id: str,
        holdings: Holdings,
        scrutiny: Scrutiny,
        members: Members,
        neighbours: Neighbours,
        anti_entropy: AntiEntropy,
        tally: Tally,
        settings: Settings,
    ) -> None:
        self._replica_id = replica_id
        self._holdings = holdings
        self._scrutiny = scrutiny
        self._members = members
        self._neighbours = neighbours
        self._anti_entropy = anti_entropy
        self._tally = tally
        self._settings = settings
        self._asked = 0
        self._routes: OrderedDict[tuple[str, int], str] = OrderedDict()

    def ask(self, now: float, token: Hashable, replicas: Replicas, effects: Effects) -> None:
        """Ask everybody what they hold, for somebody who waits until we hold what so many replicas do."""
        self._pose(now, Inquiry(token, replicas, target=self._holdings.vector), effects)
        self._tally.announce_answered(effects)

    def ask_again(self, now: float, effects: Effects) -> None:
        """Ask those questions anew that are not answered yet: an answer may be lost, a peer may be new."""
        for inquiry in self._tally.short_inquiries():
            if now - inquiry.asked_at > 2 * self._settings.gossip_interval_seconds:
                self._pose(now, inquiry, effects)

    def greet(self, peer: str, effects: Effects) -> None:
        """Ask somebody who has just connected what is not answered yet."""
        effects.send += [Send(peer, self._question(number)) for number in self._tally.open_questions]

    def answer(self, link: Link, question: Question, effects: Effects) -> None:
        """Say what we hold, and pass a question on to those who are not connected with the asker."""
        route = question.asker, question.number
        is_direct, is_new = link.peer == question.asker, route not in self._routes
        if question.asker == self._replica_id or not (is_direct or is_new):
            return
        self._routes[route] = link.peer
        if len(self._routes) > ROUTES_MAX:
            self._routes.popitem(last=False)
        answer = Answer(question.asker, question.number, self._replica_id, self._holdings.vector)
        effects.send.append(Send(link.peer, answer))
        if is_direct and link.ready:
            link.hold(link.said.merge(question.vector))
            link.compare(self._holdings.floor)
            link.look_again()
        effects.send += [
            Send(other.peer, question)
            for other in self._neighbours
            if is_new and other is not link and question.asker not in other.neighbours
        ]
        self._anti_entropy.feed(link, effects)

    def hear(self, link: Link, answer: Answer, effects: Effects) -> None:
        """Count an answer to us, or lead it back."""
        if answer.asker != self._replica_id:
            back = self._routes.get((answer.asker, answer.number))
            if back is not None and back in self._neighbours:
                effects.send.append(Send(back, answer))
            return
        inquiry = self._tally.inquiry(answer.number)
        if inquiry is None or answer.replica_id not in self._members:
            return
        if link.peer != answer.replica_id and not self._scrutiny.is_possible(answer.vector):
            return  # whoever led it back is not at fault
        if not self._scrutiny.believes(link, answer.vector, effects):
            return
        if answer.replica_id not in inquiry.answers and self._tally.is_short(inquiry):
            inquiry.answers[answer.replica_id] = answer.vector
        self._tally.announce_answered(effects)

    def _pose(self, now: float, inquiry: Inquiry, effects: Effects) -> None:
        self._asked += 1
        inquiry.asked_at = now
        self._tally.inquire(self._asked, inquiry)
        question = self._question(self._asked)
        effects.send += [Send(link.peer, question) for link in self._neighbours]

    def _question(self, number: int) -> Question:
        return Question(self._replica_id, number, self._holdings.vector)
