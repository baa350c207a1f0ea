"""Who was silent for how long, told by moments: nobody is ever made younger, and hardly older."""

from random import Random

import pytest

from replication.core.messages import Heard
from replication.core.settings import Settings
from replication.core.silence import FADING, MOMENTS_A_SUSPICION, Silence, as_bytes

SETTINGS = Settings(suspect_after_seconds=16.0, dead_after_seconds=64.0)
ANNA, BEN, CARLA = 1, 2, 4
STEP = SETTINGS.suspect_after_seconds / MOMENTS_A_SUSPICION


def states(silence: Silence, now: float) -> list[str]:
    silence.judge(now)
    return [silence.state(bit) for bit in (ANNA, BEN, CARLA)]


def test_a_member_is_alive_then_suspect_then_dead():
    silence = Silence(SETTINGS)
    silence.hear(ANNA, 0.0)
    silence.hear(BEN, 10.0)
    silence.admit(CARLA, 10.0)
    assert states(silence, 10.0) == ["alive", "alive", "suspect"]
    assert states(silence, 16.0) == ["suspect", "alive", "suspect"]
    assert states(silence, 64.0) == ["dead", "suspect", "suspect"]
    assert states(silence, 74.0) == ["dead", "dead", "dead"]
    silence.hear(ANNA, 75.0)
    assert states(silence, 75.0) == ["alive", "dead", "dead"]


def test_only_changes_are_reported():
    silence = Silence(SETTINGS)
    silence.hear(ANNA | BEN, 0.0)
    assert [silence.judge(now) for now in (0.0, 1.0, 16.0, 17.0, 64.0, 65.0)] == [3, 0, 3, 0, 3, 0]


def test_who_is_heard_again_is_alive_at_once():
    silence = Silence(SETTINGS)
    silence.hear(ANNA, 0.0)
    silence.admit(BEN, 0.0)
    silence.judge(100.0)
    assert not silence.revive(ANNA, 100.0)
    silence.hear(ANNA, 100.0)
    assert [silence.revive(ANNA, 100.0) for _ in range(2)] == [True, False]
    assert not silence.revive(BEN, 0.0)


def test_when_somebody_was_admitted_does_not_count_once_it_has_spoken():
    silence = Silence(SETTINGS)
    silence.admit(ANNA, 50.0)
    silence.hear_of([Heard(40.0, as_bytes(ANNA))], 50.0, ANNA)
    assert silence.heard_at(ANNA) == 10.0


def test_who_is_first_heard_of_after_others_that_were_heard_later_was_heard_then():
    silence = Silence(SETTINGS)
    silence.admit(BEN, 49.5)
    silence.hear_of([Heard(1.0, as_bytes(ANNA)), Heard(5.0, as_bytes(BEN))], 50.0, ANNA | BEN)
    assert silence.heard_at(BEN) == 45.0


def test_a_word_about_long_ago_makes_nobody_older():
    silence = Silence(SETTINGS)
    silence.hear(ANNA, 50.0)
    silence.hear_of([Heard(40.0, as_bytes(ANNA))], 50.0, ANNA)
    assert silence.heard_at(ANNA) == 50.0


def test_others_are_told_of_the_living_only_and_of_nobody_else():
    silence = Silence(SETTINGS)
    silence.hear(ANNA, 0.0)
    silence.hear(BEN, 20.0)
    silence.admit(CARLA, 20.0)
    assert silence.told(20.5, ANNA | BEN | CARLA) == (Heard(0.5, as_bytes(BEN)),)
    assert silence.told(20.5, CARLA) == ()


@pytest.mark.parametrize("seed", range(8))
def test_nobody_is_made_younger_and_hardly_older_and_moments_stay_few(seed):
    random, silence, members = Random(seed), Silence(SETTINGS), 20
    now, heard_at = 0.0, dict.fromkeys(range(members), float("-inf"))
    for _ in range(400):
        now += random.choice([0.0, 0.1, 0.5, 3.0])
        number, age = random.randrange(members), random.choice([0.0, 0.0, 0.3, 5.0, 15.0, 50.0])
        if random.random() < 0.5:
            silence.hear(1 << number, now - age)
        else:
            silence.hear_of([Heard(age, as_bytes(1 << number))], now, (1 << members) - 1)
        heard_at[number] = max(heard_at[number], now - age)
        for other, truly in heard_at.items():
            known = silence.heard_at(1 << other)
            assert known <= truly
            assert known == truly or truly - known <= 3 * STEP + (now - known) / (FADING / 3)
    assert len(silence._moments) < 100
