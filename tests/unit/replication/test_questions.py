"""Reads at a quorum ask: whoever is connected, whoever comes later, and again while answers are missing."""

from random import Random

from crdts import VersionVector
from replication.core.effects import Agreed, Effects
from replication.core.messages import Answer, Digest, Question, Row
from replication.core.replica import ReplicaCore


def core(replica_id: str, *peers: str) -> ReplicaCore:
    """A replica that has started, at 0, and is connected with peers who have said that they hold nothing."""
    nothing = VersionVector()
    made = ReplicaCore(
        replica_id,
        log_id="",
        fresh_log_id=f"{replica_id}~1",
        vector=nothing,
        floor=nothing,
        head=0,
        facts={},
        random=Random(0),
        now=0.0,
    )
    made.start(0.0)
    for peer in peers:
        made.connected(0.0, peer)
        made.receive(0.0, peer, greeting(peer))
    return made


def greeting(peer: str, *neighbours: str) -> Digest:
    row = Row(peer, 1, f"{peer}~1", VersionVector(), "")
    return Digest(row, VersionVector(), neighbours=neighbours)


def questions(effects: Effects) -> list[tuple[str, Question]]:
    return [(send.peer, send.message) for send in effects.send if isinstance(send.message, Question)]


def answers(effects: Effects) -> list[tuple[str, Answer]]:
    return [(send.peer, send.message) for send in effects.send if isinstance(send.message, Answer)]


def test_a_peer_that_comes_while_somebody_waits_is_asked_at_once():
    berlin = core("berlin")
    assert questions(berlin.ask(0.0, "read", 2)) == []
    ((asked, question),) = questions(berlin.connected(0.1, "lisbon"))
    assert (asked, question.asker) == ("lisbon", "berlin")
    effects = berlin.receive(0.2, "lisbon", Answer("berlin", question.number, "lisbon", VersionVector()))
    assert effects.announce == [Agreed("read")]


def test_a_peer_that_comes_when_nobody_waits_any_more_is_asked_nothing():
    berlin = core("berlin")
    berlin.ask(0.0, "read", 2)
    berlin.give_up("read")
    assert questions(berlin.connected(0.1, "lisbon")) == []


def test_a_question_is_asked_again_long_before_a_reader_gives_up():
    berlin = core("berlin", "lisbon")
    assert len(questions(berlin.ask(0.0, "read", 3))) == 1
    assert questions(berlin.tick(0.9)) == []
    assert len(questions(berlin.tick(1.5))) == 1


def test_an_asker_whose_connection_broke_is_answered_again_and_others_are_not_asked_twice():
    lisbon = core("lisbon", "berlin", "madrid")
    first = lisbon.receive(0.0, "berlin", Question("berlin", 1, VersionVector()))
    assert [peer for peer, _ in answers(first)] == ["berlin"]
    assert [peer for peer, _ in questions(first)] == ["madrid"]
    lisbon.disconnected(0.1, "berlin")
    lisbon.connected(0.2, "berlin")
    again = lisbon.receive(0.2, "berlin", Question("berlin", 1, VersionVector()))
    assert [peer for peer, _ in answers(again)] == ["berlin"]
    assert questions(again) == []


def test_a_question_that_comes_by_two_ways_is_answered_once():
    lisbon = core("lisbon", "madrid", "porto")
    question = Question("berlin", 1, VersionVector())
    assert len(answers(lisbon.receive(0.0, "madrid", question))) == 1
    assert answers(lisbon.receive(0.0, "porto", question)) == []
