"""Reads at a quorum: what replicas held when they were asked, wherever they are."""

import pytest

from replication.core import questions
from replication.core.effects import Agreed
from replication.core.messages import Answer, Entries, Question
from replication.core.settings import Settings
from tests.unit.replication.core.replicas import Replica, connect, converse, digest, disconnect, entries, vector


def said_to(replica: Replica) -> list[object]:
    return [said.token for said in replica.announced if isinstance(said, Agreed)]


def ask(replica: Replica, token: str, replicas: object) -> list[Question]:
    replica.take_sent()
    replica.do(replica.core.ask(replica.now, token, replicas))
    return replica.messages(Question)


def test_a_read_here_asks_nobody_in_vain():
    anna = Replica()
    ask(anna, "read", 1)
    assert said_to(anna) == ["read"]


def test_a_read_ends_when_all_is_here_that_was_answered():
    anna = Replica().meet("ben")
    (question,) = ask(anna, "read", 2)
    anna.hear("ben", Answer("anna", question.number, "ben", vector(ben=2)), Entries(entries("ben~1", 1, 1)))
    assert said_to(anna) == []
    anna.hear("ben", Entries(entries("ben~1", 2, 2)))
    assert said_to(anna) == ["read"]


def test_an_answer_of_the_same_replica_counts_once():
    anna = Replica().meet("ben").meet("carla")
    question = ask(anna, "read", 3)[0]
    answer = Answer("anna", question.number, "ben", vector())
    anna.hear("ben", answer, answer)
    assert said_to(anna) == []
    assert anna.core.give_up("read") == {"anna", "ben"}


def test_what_more_replicas_hold_than_were_meant_is_not_waited_for():
    anna = Replica().meet("ben").meet("carla")
    question = ask(anna, "read", 2)[0]
    anna.hear("ben", Answer("anna", question.number, "ben", vector()))
    anna.hear("carla", Answer("anna", question.number, "carla", vector(carla=99)))
    assert said_to(anna) == ["read"]


def test_an_answer_of_nobody_that_is_known_or_to_nothing_that_was_asked_is_passed_over():
    anna = Replica().meet("ben")
    (question,) = ask(anna, "read", 2)
    anna.hear("ben", Answer("anna", question.number, "nobody", vector()))
    anna.hear("ben", Answer("anna", question.number + 1, "ben", vector()))
    assert said_to(anna) == []
    assert anna.refused == []


def test_what_a_removed_replica_has_answered_is_not_waited_for():
    """It may be lost with it."""
    anna = Replica().meet("ben").meet("carla")
    question = ask(anna, "read", "all")[0]
    anna.hear("ben", Answer("anna", question.number, "ben", vector(ben=99)))
    anna.do(anna.core.remove(0.0, "ben"))
    assert said_to(anna) == []
    anna.hear("carla", Answer("anna", question.number, "carla", vector()))
    assert said_to(anna) == ["read"]


def test_what_is_not_answered_is_asked_again_and_the_first_answer_still_counts():
    anna = Replica().meet("ben")
    (first,) = ask(anna, "read", 2)
    anna.wait(2.0)
    assert min(question.number for question in anna.messages(Question)) > first.number
    anna.hear("ben", Answer("anna", first.number, "ben", vector()))
    assert said_to(anna) == ["read"]


def test_of_many_questions_for_one_read_only_the_last_can_be_answered():
    anna = Replica().meet("ben")
    (first,) = ask(anna, "read", 2)
    anna.wait(60.0)
    last = max(question.number for question in anna.messages(Question))
    anna.hear("ben", Answer("anna", first.number, "ben", vector()))
    assert said_to(anna) == []
    anna.hear("ben", Answer("anna", last, "ben", vector()))
    assert said_to(anna) == ["read"]


def test_questions_reach_replicas_behind_others_and_answers_come_back():
    line = anna, ben, carla, dora = [Replica(name) for name in ("anna", "ben", "carla", "dora")]
    for one, other in ((anna, ben), (ben, carla), (carla, dora)):
        connect(one, other)
    converse(*line)
    for _ in range(4):
        for replica in line:
            replica.wait(0.6)
        converse(*line)
    dora.write(2)
    anna.do(anna.core.ask(anna.now, "read", "all"))
    converse(*line)
    assert said_to(anna) == ["read"]
    assert anna.held == vector(dora=2)


def test_a_question_is_passed_on_once_and_not_to_those_whom_the_asker_asks_itself():
    ben = (
        Replica("ben").meet("anna", neighbours=["ben", "carla"]).meet("carla", neighbours=["anna", "ben"]).meet("dora")
    )
    question = Question("anna", 1, vector())
    ben.hear("anna", question)
    assert [peer for peer, _ in ben.take_sent(Question)] == ["dora"]
    ben.hear("dora", question)
    assert ben.take_sent() == []


def test_an_answer_whose_way_back_is_gone_is_lost():
    anna, ben = Replica("anna"), Replica("ben")
    connect(anna, ben)
    converse(anna, ben)
    ben.hear("anna", Question("anna", 1, vector()))
    disconnect(anna, ben)
    ben.meet("carla").hear("carla", Answer("anna", 1, "carla", vector()), Answer("nobody", 1, "carla", vector()))
    assert ben.take_sent(Answer) == []


def test_our_own_question_that_comes_back_is_passed_over():
    anna = Replica().meet("ben").hear("ben", Question("anna", 1, vector()))
    assert anna.sent == []


def test_how_many_questions_of_others_are_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(questions, "ROUTES_MAX", 3)
    ben = Replica("ben").meet("anna").meet("carla")
    for number in range(1, 6):
        ben.hear("carla", Question("dora", number, vector()))
    ben.take_sent()
    ben.hear("anna", Answer("dora", 1, "anna", vector()), Answer("dora", 5, "anna", vector()))
    assert [message.number for message in ben.messages(Answer, "carla")] == [5]


@pytest.mark.parametrize("asks", [False, True])
def test_who_reads_is_sent_at_once_what_was_left_to_others(asks):
    anna = Replica().meet("ben", neighbours=["anna", "carla"]).meet("carla", neighbours=["anna", "ben"])
    anna.hear("ben", Entries(entries("ben~1", 1, 1)))
    assert anna.take_sent(Entries) == []
    if asks:
        anna.hear("carla", Question("carla", 1, vector()))
    assert len(anna.take_sent(Entries)) == asks


def test_what_an_asker_holds_counts_as_said():
    anna = Replica().write(3).meet("ben")
    anna.hear("ben", Question("ben", 1, vector(anna=2)))
    assert anna.messages(Answer) == [Answer("ben", 1, "anna", vector(anna=3))]
    anna.hear("ben", digest("ben", vector(anna=3))).write()
    assert [sent.number for message in anna.messages(Entries) for sent in message.entries] == [4]


def test_a_question_gives_no_room_back_on_the_way():
    """What is on its way when a peer asks is still on its way."""
    anna = Replica(settings=Settings(window_bytes=100)).meet("ben").write(3, size=100)
    assert len(anna.take_sent(Entries)) == 1
    anna.hear("ben", *[Question("ben", number, vector()) for number in range(1, 5)])
    assert anna.take_sent(Entries) == []
