"""Waiting until so many replicas hold an entry, by what each has said itself."""

import pytest

from replication.core.effects import Agreed, Effects
from replication.core.messages import Acknowledgement, Entries
from replication.core.quorum import required
from tests.unit.replication.core.replicas import Replica, Told, digest, entries, vector


def agreed(effects: Effects) -> list[object]:
    return [said.token for said in effects.announce if isinstance(said, Agreed)]


def said_to(replica: Replica) -> list[object]:
    """Return who was told that he has waited long enough, and forget it."""
    announced, replica.announced = replica.announced, []
    return [said.token for said in announced if isinstance(said, Agreed)]


@pytest.fixture
def anna() -> Replica:
    """One of five, with an entry that nobody else holds yet."""
    anna = Replica()
    for peer in ("ben", "carla", "dora", "emil"):
        anna.meet(peer)
    return anna.write()


def wait_for(anna: Replica, token: str, number: int, replicas: object) -> None:
    anna.do(anna.core.wait_for(0.0, token, "anna~1", number, replicas))


@pytest.mark.parametrize(
    ("replicas", "members", "number"), [("majority", 5, 3), ("majority", 4, 3), ("all", 4, 4), (2, 9, 2)]
)
def test_so_many_replicas_are_meant(replicas, members, number):
    assert required(replicas, members) == number


@pytest.mark.parametrize("replicas", [0, -1, "most", 1.5, True, None])
def test_what_is_no_number_of_replicas_is_refused_and_changes_nothing(anna, replicas):
    for call in (lambda: wait_for(anna, "wrong", 1, replicas), lambda: anna.core.ask(0.0, "wrong", replicas)):
        with pytest.raises(ValueError, match="replicas must be a number from 1, 'majority' or 'all', not"):
            call()
    anna.hear("ben", Acknowledgement(vector(anna=1)))
    assert said_to(anna) == []


def test_what_is_held_already_is_agreed_at_once(anna):
    assert agreed(anna.core.wait_for(0.0, "one", "anna~1", 1, 1)) == ["one"]


def test_each_member_counts_once_however_often_it_acknowledges(anna):
    wait_for(anna, "three", 1, 3)
    anna.hear("ben", *[Acknowledgement(vector(anna=1))] * 3)
    assert said_to(anna) == []
    anna.hear("carla", Acknowledgement(vector(anna=1)))
    assert said_to(anna) == ["three"]
    anna.hear("dora", Acknowledgement(vector(anna=1)))
    assert said_to(anna) == []


def test_an_acknowledgement_counts_for_all_entries_before_it(anna):
    anna.write(2)
    for number in (1, 2, 3):
        wait_for(anna, f"entry {number}", number, 2)
    anna.hear("ben", Acknowledgement(vector(anna=2)))
    assert said_to(anna) == ["entry 1", "entry 2"]


def test_majority_and_all_count_the_members_that_there_are(anna):
    wait_for(anna, "majority", 1, "majority")
    wait_for(anna, "all", 1, "all")
    anna.hear("ben", Acknowledgement(vector(anna=1))).hear("carla", digest("carla", vector(anna=1)))
    assert said_to(anna) == ["majority"]
    anna.hear("dora", Acknowledgement(vector(anna=1)))
    anna.do(anna.core.remove(0.0, "emil"))
    assert said_to(anna) == ["all"]


def test_replicas_that_are_expected_count_though_they_are_unknown():
    anna = Replica(expected=5).meet("ben").write()
    wait_for(anna, "majority", 1, "majority")
    anna.hear("ben", Acknowledgement(vector(anna=1)))
    assert said_to(anna) == []
    anna.meet("carla", vector(anna=1))
    assert said_to(anna) == ["majority"]


def test_what_somebody_says_through_others_counts(anna):
    wait_for(anna, "two", 1, 2)
    anna.hear_of("ben", Told("frida", vector(anna=1)))
    assert said_to(anna) == ["two"]


def test_who_was_removed_does_not_count(anna):
    anna.hear("ben", Acknowledgement(vector(anna=1)))
    assert anna.core.holders("anna~1", 1) == {"anna", "ben"}
    anna.do(anna.core.remove(0.0, "ben"))
    assert anna.core.holders("anna~1", 1) == {"anna"}


def test_entries_of_others_can_be_waited_for_as_well(anna):
    anna.do(anna.core.wait_for(0.0, "theirs", "ben~1", 2, 2))
    anna.hear("ben", digest("ben", vector(ben=2)))
    assert said_to(anna) == []
    anna.hear("ben", Entries(entries("ben~1", 1, 2)))
    assert said_to(anna) == ["theirs"]


def test_an_entry_of_a_log_that_nobody_has_heard_of_is_held_by_nobody(anna):
    assert anna.core.holders("nobody~1", 1) == set()


def test_who_does_not_wait_any_more_is_not_told(anna):
    wait_for(anna, "given up", 1, 2)
    wait_for(anna, "patient", 1, 2)
    assert anna.core.give_up("given up") == {"anna"}
    anna.hear("ben", Acknowledgement(vector(anna=1)))
    assert said_to(anna) == ["patient"]


def test_giving_up_what_nobody_waits_for_does_nothing(anna):
    assert anna.core.give_up("never heard of") == {"anna"}


def test_who_waits_for_two_entries_of_two_logs_gives_both_up(anna):
    anna.do(anna.core.wait_for(0.0, "both", "anna~1", 1, 5))
    anna.do(anna.core.wait_for(0.0, "both", "ben~1", 1, 5))
    anna.core.give_up("both")
    for peer in ("ben", "carla", "dora", "emil"):
        anna.hear(peer, digest(peer, vector(anna=1, ben=1)))
    anna.hear("ben", Entries(entries("ben~1", 1, 1)))
    assert said_to(anna) == []


def test_a_short_wait_ends_while_a_longer_one_of_the_same_log_goes_on(anna):
    wait_for(anna, "two", 1, 2)
    wait_for(anna, "all", 1, "all")
    anna.hear("ben", Acknowledgement(vector(anna=1)))
    assert said_to(anna) == ["two"]
