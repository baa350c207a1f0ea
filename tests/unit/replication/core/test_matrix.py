"""What each member is known to hold, grouped by what is held: the same as a vector for each of them."""

from random import Random

import pytest

from crdts import VersionVector
from replication.core.matrix import Matrix
from tests.unit.replication.core.replicas import vector

NOTHING = VersionVector()


def by_member(matrix: Matrix, members: int) -> list[VersionVector]:
    return [matrix.of(1 << number) for number in range(members)]


def test_nobody_holds_anything_at_first():
    matrix = Matrix()
    assert (len(matrix), list(matrix), matrix.of(1), matrix.changes) == (0, [], NOTHING, 0)


def test_members_that_hold_the_same_are_one_group():
    matrix = Matrix()
    matrix.raise_to(0b101, vector(anna=1))
    matrix.set(0b010, vector(anna=1))
    assert list(matrix) == [(vector(anna=1), 0b111)]


def test_what_is_no_news_changes_nothing():
    matrix = Matrix()
    matrix.raise_to(0b11, vector(anna=2))
    before = matrix.changes
    assert not matrix.raise_to(0b01, vector(anna=1))
    assert not matrix.set(0b10, vector(anna=2))
    matrix.forget(0b100)
    assert (matrix.changes, list(matrix)) == (before, [(vector(anna=2), 0b11)])


def test_what_is_said_by_several_is_joined_and_a_members_own_word_replaces_it():
    matrix = Matrix()
    matrix.raise_to(0b11, vector(anna=2))
    assert matrix.raise_to(0b01, vector(ben=1))
    assert by_member(matrix, 2) == [vector(anna=2, ben=1), vector(anna=2)]
    assert matrix.set(0b01, vector(ben=3))
    assert by_member(matrix, 2) == [vector(ben=3), vector(anna=2)]


def test_what_settles_is_taken_over_and_the_rest_stays():
    settled, current = Matrix(), Matrix()
    current.raise_to(0b011, vector(anna=1))
    settled.settle(current, ~0)
    current.raise_to(0b111, vector(anna=2))
    settled.settle(current, ~0b010)
    assert by_member(settled, 3) == [vector(anna=2), vector(anna=1), vector(anna=2)]


@pytest.mark.parametrize("seed", range(40))
def test_it_is_the_same_as_a_vector_for_each_member(seed):
    random, members = Random(seed), 6
    matrix, model = Matrix(), [NOTHING] * members
    for _ in range(60):
        said = VersionVector({f"{name}~1": random.randint(0, 3) for name in random.sample("abc", random.randint(0, 3))})
        kind, bits = random.choice(["raise", "raise", "raise", "set", "forget"]), random.getrandbits(members)
        if kind == "set":
            number = random.randrange(members)
            matrix.set(1 << number, said)
            model[number] = said
        else:
            if kind == "raise":
                matrix.raise_to(bits, said)
            else:
                matrix.forget(bits)
            model = [
                (held.merge(said) if kind == "raise" else NOTHING) if bits >> number & 1 else held
                for number, held in enumerate(model)
            ]
        assert by_member(matrix, members) == model
        groups = [held for _, held in matrix]
        assert all(one & other == 0 for place, one in enumerate(groups) for other in groups[place + 1 :])
        assert 0 not in groups
