"""Lies cost their sender the connection, and us nothing."""

import pytest

from calliope.stores.versioned import LogEntry
from crdts import VersionVector
from replication.core import scrutiny
from replication.core.messages import Acknowledgement, Answer, Digest, Entries, Question, SnapshotRequest
from tests.unit.replication.core.replicas import Replica, Told, digest, entries, entry, vector


@pytest.fixture
def anna() -> Replica:
    """Holds anna~1 up to 1 and ben~1 up to 2; ben is connected."""
    anna = Replica().meet("ben", vector(ben=2)).write().hear("ben", Entries(entries("ben~1", 1, 2)))
    assert anna.held == vector(anna=1, ben=2)
    anna.take_sent()
    return anna


def assert_refused(anna: Replica, reason: str) -> None:
    ((peer, said),) = anna.refused
    assert peer == "ben"
    assert reason in said
    assert anna.held == vector(anna=1, ben=2)
    assert anna.core.holders("anna~1", 2) == set()
    assert anna.announced == []


FUTURE = vector(anna=2)


def test_a_digest_that_claims_our_future_is_refused(anna):
    anna.announced.clear()
    anna.hear("ben", digest("ben", FUTURE))
    assert_refused(anna, "claims that anna~1 has a number that was never written")


def test_a_digest_whose_floor_is_above_what_its_sender_holds_is_refused(anna):
    anna.announced.clear()
    anna.hear("ben", digest("ben", vector(ben=2), floor=vector(ben=3)))
    assert_refused(anna, "has dropped operations that it never held")
    assert anna.messages(SnapshotRequest) == []


def test_a_digest_of_which_the_staged_part_claims_our_future_is_refused(anna):
    anna.announced.clear()
    said = digest("ben", vector(ben=2))
    anna.hear("ben", Digest(said.own, said.floor, staged=FUTURE))
    assert_refused(anna, "claims that anna~1 has a number that was never written")


def test_an_acknowledgement_that_claims_our_future_is_refused(anna):
    anna.announced.clear()
    anna.hear("ben", Acknowledgement(FUTURE))
    assert_refused(anna, "claims that anna~1 has a number that was never written")


def test_an_answer_that_claims_our_future_is_refused(anna):
    anna.do(anna.core.ask(0.0, "read", 2))
    (question,) = anna.messages(Question)
    anna.announced.clear()
    anna.hear("ben", Answer("anna", question.number, "ben", FUTURE))
    assert_refused(anna, "claims that anna~1 has a number that was never written")


def test_an_answer_that_lies_and_was_led_back_is_passed_over(anna):
    """Whoever led it back is not at fault."""
    anna.meet("carla").do(anna.core.ask(0.0, "read", 2))
    question = anna.messages(Question)[0]
    anna.announced.clear()
    anna.hear("ben", Answer("anna", question.number, "carla", FUTURE))
    assert (anna.announced, anna.refused) == ([], [])


def test_nobody_is_counted_for_a_row_that_claims_our_future(anna):
    anna.do(anna.core.wait_for(0.0, "next", "anna~1", 2, 2))
    anna.announced.clear()
    anna.hear_of("ben", Told("carla", FUTURE))
    anna.write()
    assert anna.core.holders("anna~1", 2) == {"anna"}
    assert (anna.announced, anna.refused) == ([], [])


def test_what_is_on_its_way_to_our_disk_is_no_lie_but_what_is_not_is(anna):
    anna.announced.clear()
    anna.hear("ben", Entries((entry("anna~1", 2),)))
    assert_refused(anna, "sent anna~1:2, which was never written here")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_entry_with_a_wrong_checksum_is_refused(anna, number):
    whole = entry("ben~1", number)
    anna.announced.clear()
    anna.hear("ben", Entries((LogEntry("ben~1", number, "operations", whole.checksum ^ 1, whole.body),)))
    assert_refused(anna, f"sent ben~1:{number} with a wrong checksum")


def test_an_altered_entry_under_a_known_number_is_refused(anna):
    anna.announced.clear()
    anna.hear("ben", Entries((entry("ben~1", 2, size=99),)))
    assert_refused(anna, "sent ben~1:2 with other content than is known")


def test_our_own_entry_altered_is_refused(anna):
    anna.announced.clear()
    anna.hear("ben", Entries((entry("anna~1", 1, size=99),)))
    assert_refused(anna, "sent anna~1:1 with other content than is known")


def test_what_came_before_a_lie_is_kept(anna):
    lie = entry("ben~1", 4)
    anna.hear("ben", Entries((entry("ben~1", 3), LogEntry("ben~1", 4, "operations", 0, lie.body))))
    assert anna.held == vector(anna=1, ben=3)
    assert len(anna.refused) == 1


def test_what_is_remembered_of_contents_is_bounded(anna, monkeypatch):
    monkeypatch.setattr(scrutiny, "CHECKSUMS_MAX", 3)
    anna.hear("ben", Entries(entries("ben~1", 3, 9)))
    anna.hear("ben", Entries((entry("ben~1", 2, size=99),)))
    assert anna.refused == []  # it is held, and passed over
    anna.hear("ben", Entries((entry("ben~1", 9, size=99),)))
    assert len(anna.refused) == 1
    assert anna.held == vector(anna=1, ben=9)


def test_a_claim_about_the_log_of_somebody_else_is_no_lie_that_we_could_know(anna):
    anna.hear("ben", digest("ben", VersionVector({"carla~1": 9})))
    assert anna.refused == []
