"""Sets of replicas are bits; equal rosters number everybody alike."""

from random import Random

import pytest

from replication.core.roster import FINGERPRINT_BITS, Roster

NAMES = [f"replica {number:03}" for number in range(100)]


def roster(*replica_ids: str, we: str = "mia") -> Roster:
    made = Roster(we)
    for replica_id in replica_ids:
        made.add(replica_id)
    return made


def test_we_are_in_it_alone_at_first():
    alone = Roster("mia")
    assert (alone.ids, alone.everybody, alone.bit("mia"), alone.arrange()) == (["mia"], 1, 1, None)


def test_bits_and_ids_stand_for_each_other_and_strangers_have_none():
    made = roster("anna", "zoe")
    bits = made.bits(["zoe", "mia", "nobody"])
    assert bits == made.bit("mia") | made.bit("zoe")
    assert sorted(made.ids_of(bits)) == ["mia", "zoe"]
    assert made.ids_of(0) == []
    assert "zoe" in made
    assert "nobody" not in made


def test_equal_rosters_have_equal_fingerprints_and_number_everybody_alike_however_they_came_about():
    one, other = roster(*NAMES), roster("mia", we=NAMES[0])
    for name in Random(1).sample(NAMES[1:], len(NAMES) - 1):
        other.add(name)
    assert (one.fingerprint, one.incarnations) == (other.fingerprint, other.incarnations)
    one.arrange()
    other.arrange()
    assert one.ids == other.ids == sorted([*NAMES, "mia"])
    assert all(one.bit(name) == other.bit(name) for name in one.ids)


@pytest.mark.parametrize(("change", "numbers"), [("add", True), ("incarnate", False), ("remove", True)])
def test_other_members_are_another_roster_and_other_incarnations_are_not(change, numbers):
    made = roster("anna", "ben")
    before = made.fingerprint, made.incarnations
    if change == "add":
        made.add("carla")
    elif change == "incarnate":
        made.incarnate("anna", 1)
    else:
        made.remove("anna")
    assert (made.fingerprint != before[0], made.incarnations != before[1]) == (numbers, True)
    assert 0 <= made.fingerprint < 1 << FINGERPRINT_BITS
    assert 0 <= made.incarnations < 1 << FINGERPRINT_BITS


def test_who_comes_and_goes_leaves_no_trace_in_the_fingerprints():
    made = roster("anna")
    before = made.fingerprint, made.incarnations
    made.add("ben")
    made.incarnate("ben", 7)
    made.remove("ben")
    assert (made.fingerprint, made.incarnations) == before


def test_the_same_members_in_swapped_incarnations_are_told_apart():
    one, other = roster("anna", "ben"), roster("anna", "ben")
    one.incarnate("anna", 1)
    other.incarnate("ben", 1)
    assert one.incarnations != other.incarnations


@pytest.mark.parametrize("seed", range(20))
def test_sets_keep_their_members_when_numbers_change(seed):
    random = Random(seed)
    made = roster(*random.sample(NAMES, random.randint(1, 60)))
    chosen = set(random.sample(made.ids, random.randint(0, len(made.ids))))
    bits = made.bits(chosen)
    renumber = made.arrange()
    bits = bits if renumber is None else renumber(bits)
    assert set(made.ids_of(bits)) == chosen
    assert made.ids == sorted(made.ids)
    gone = random.choice([name for name in made.ids if name != "mia"])
    bits = made.remove(gone)(bits)
    assert set(made.ids_of(bits)) == chosen - {gone}
    assert made.arrange() is None


def test_the_last_other_one_can_be_removed():
    made = roster("anna")
    assert made.remove("anna")(made.everybody) in (0, 1)
    assert made.ids == ["mia"]
