"""Stories in which a type once failed, found by `check_convergence`, as scripts."""

import pytest

from crdts.lww_map import LWWMap
from crdts.sequence import RGA
from crdts.sets import GSet, ORSet, RWSet, TwoPhaseSet
from crdts.testing import Cluster, Command
from crdts.text import Text
from tests.property.crdt_subjects import SUBJECTS


def first(count):
    return 0


def cluster_of(crdt_type):
    return Cluster(crdt_type, specification=SUBJECTS[crdt_type.__name__].specification)


@pytest.mark.parametrize("crdt_type", [GSet, TwoPhaseSet, ORSet, RWSet])
def test_a_state_in_which_additions_are_stable_joins_one_in_which_they_are_not(crdt_type):
    cluster = cluster_of(crdt_type)
    a, b, c = cluster.members
    for member in (a, b, c):
        cluster.issue(member, Command("add", ("x",)))
        cluster.issue(member, Command("add", ("y",)))
    for member in (a, b):
        for issued in cluster.issued[:4]:
            if issued in cluster.deliverable(member):
                cluster.deliver(member, issued)
    cluster.catch_up(c, first)
    cluster.catch_up(a, first)
    cluster.stabilize(a)
    assert a.replica.stable_version == {"a": 2, "b": 2}
    cluster.issue(b, Command("add", ("x",)))
    cluster.join(b, c)
    cluster.join(b, a)
    cluster.join(a, b)


def test_a_list_that_is_settled_joins_one_that_has_not_seen_what_was_inserted_concurrently():
    cluster = cluster_of(RGA)
    a, b, c = cluster.members
    cluster.issue(c, Command("append", ("c1",)))
    cluster.issue(a, Command("insert", (0, "a1")))
    for member in (a, b):
        cluster.deliver(member, cluster.issued[0])
    cluster.stabilize(a)
    assert a.replica.stable_version == {"c": 1}
    cluster.join(b, a)
    cluster.join(a, b)
    cluster.join(c, a)


def test_what_was_inserted_concurrently_to_a_clear_stays_in_order():
    cluster = cluster_of(Text)
    a, b, _ = cluster.members
    cluster.issue(a, Command("insert", (0, "-")))
    cluster.deliver(b, cluster.issued[0])
    cluster.issue(b, Command("insert", (0, "1")))
    cluster.issue(b, Command("insert", (2, "2")))
    cluster.issue(a, Command("clear"))
    cluster.merge(a, b)
    assert a.replica.value == "12"


def test_a_removal_from_an_lww_map_is_counted_from_until_it_is_stable():
    cluster = cluster_of(LWWMap)
    a, b, c = cluster.members
    cluster.issue(a, Command("remove", ("k", 7)))
    cluster.catch_up(b, first)
    cluster.catch_up(c, first)
    cluster.stabilize(b)
    cluster.issue(b, Command("assign", ("k", "settled")))
    cluster.issue(c, Command("assign", ("k", "not yet")))
    cluster.merge(a, b)
    assert a.replica.value == {"k": "settled"}
    cluster.merge(a, c)
    assert a.replica.value == {"k": "not yet"}


def test_what_is_typed_backwards_stays_together_when_what_was_before_it_is_forgotten_meanwhile():
    cluster = cluster_of(Text)
    a, b, c = cluster.members
    cluster.issue(b, Command("insert", (0, "-.")))
    cluster.issue(b, Command("delete", (0, 1)))
    cluster.catch_up(a, first)
    cluster.catch_up(c, first)
    cluster.issue(b, Command("insert", (0, "y")))
    cluster.stabilize(b)
    cluster.issue(a, Command("insert", (0, "A")))
    cluster.issue(b, Command("insert", (0, "x")))
    cluster.merge(b, a)
    assert b.replica.value == "Axy."
