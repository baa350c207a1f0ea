"""Identity is never reused: to which log a replica writes after a start."""

import pytest

from calliope.stores.versioned import log_entry
from replication.core.effects import UseLog
from replication.core.messages import Digest, Entries
from tests.unit.replication.core.replicas import Replica, Told, change, digest, entry, vector


def restarted(**start: object) -> Replica:
    """A replica that wrote anna~1 up to 2, met ben, and starts again."""
    anna = Replica().meet("ben").write(2)
    anna.start(**start)
    assert anna.core.log_id == "anna~2"
    return anna


def test_a_first_start_writes_to_a_fresh_log():
    assert Replica().write().held == vector(anna=1)


def test_the_old_log_goes_on_when_all_members_know_no_more_of_it():
    anna = restarted().meet("ben", vector(anna=2))
    assert anna.core.log_id == "anna~1"
    assert anna.write().held == vector(anna=3)


@pytest.mark.parametrize("known", [3, 100])
def test_a_fresh_log_is_written_when_a_member_knows_more_of_the_old_one(known):
    anna = restarted().meet("ben", vector(anna=known))
    assert anna.core.log_id == "anna~2"
    assert anna.meet("carla", vector(anna=2)).core.log_id == "anna~2"


def test_a_fresh_log_is_written_until_every_member_has_told():
    anna = Replica().meet("ben").meet("carla").write(2)
    anna.start()
    assert anna.meet("ben", vector(anna=2)).core.log_id == "anna~2"
    assert anna.meet("carla", vector(anna=1)).core.log_id == "anna~1"


def test_replicas_that_are_expected_and_unknown_might_know_more():
    anna = restarted(expected=3).meet("ben", vector(anna=2))
    assert anna.core.log_id == "anna~2"
    assert anna.meet("carla", vector(anna=2)).core.log_id == "anna~1"


def test_what_others_have_heard_of_a_member_is_not_its_own_word():
    anna = Replica().meet("ben").meet("carla").write(2)
    anna.start()
    anna.meet("ben", vector(anna=2)).hear_of("ben", Told("carla", vector(anna=2)), held=vector(anna=2))
    assert anna.core.log_id == "anna~2"


def test_a_log_in_which_something_was_written_is_kept():
    anna = restarted().write().meet("ben", vector(anna=2))
    assert anna.core.log_id == "anna~2"


def test_a_replica_that_nobody_can_know_keeps_its_log():
    anna = Replica(alone=True).write(2)
    anna.start(alone=True)
    assert anna.core.log_id == "anna~1"


def test_a_replica_that_was_alone_and_has_met_somebody_since_does_not():
    anna = Replica(alone=True).meet("ben").write(2)
    anna.start(alone=True)
    assert anna.core.log_id == "anna~2"


def test_it_is_durably_known_to_which_log_the_journal_writes_before_anything_is_sent():
    anna = Replica().meet("ben").write(2)
    anna.is_slow = True
    anna.start()
    assert UseLog("anna~2") in anna.waiting
    assert anna.sent == []


def test_the_first_digest_waits_for_what_the_peer_wrote_in_an_earlier_life():
    """Else a peer whose disk went back might reuse a number that becomes durable here a moment later."""
    anna = Replica().meet("ben")
    anna.is_slow = True
    anna.hear("ben", Entries((entry("ben~1", 1),)))
    anna.do(anna.core.disconnected(anna.now, "ben"))
    anna.do(anna.core.connected(anna.now, "ben"))
    anna.hear("ben", digest("ben", asks=True)).wait(2.0)
    assert anna.messages(Digest) == []
    anna.is_slow = False
    anna.store()
    assert anna.messages(Digest)[0].own.vector == vector(ben=1)


def test_numbers_of_a_restored_journal_are_fetched_from_those_who_know_them():
    anna = restarted().meet("ben", vector(anna=3))
    lost = log_entry("anna~1", 3, "operations", [change(9)])
    anna.hear("ben", Entries((lost,)))
    assert anna.held == vector(anna=3)
    assert anna.refused == []
