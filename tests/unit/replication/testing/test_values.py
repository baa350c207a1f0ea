"""Values of a simulated journal: what was applied how often, or real CRDTs; states join, whatever came first."""

import pytest

from calliope.stores.versioned import log_entry
from crdts import VersionVector
from replication.testing import AppliedOperations, Change, CrdtValues


def entry_of(values, log_id, number, change):
    return log_entry(log_id, number, "operations", (values.prepare(change, log_id, number),))


def pages(values):
    states, after_key, complete = [], "", False
    while not complete:
        page = values.page(after_key)
        states += page.states
        after_key, complete = page.after_key, page.complete
    return states


@pytest.mark.parametrize("make_values", [AppliedOperations, CrdtValues])
def test_pages_of_states_contain_every_key_once(make_values):
    values = make_values()
    for number in range(1, 8):
        values.apply(entry_of(values, "anna~1", number, Change(f"key {number}", "increment", 1)))
    assert [state.key for state in pages(values)] == [f"key {number}" for number in range(1, 8)]
    other = make_values()
    other.merge(pages(values))
    assert other.contents() == values.contents()


def test_an_operation_that_a_merged_state_contained_is_not_counted_again():
    values, other = AppliedOperations(), AppliedOperations()
    entry = entry_of(values, "anna~1", 1, Change("key", "increment", 1))
    values.apply(entry)
    other.merge(pages(values))
    other.apply(entry)
    assert other.contents() == {"key": {("anna~1", 1): 1}}
    other.apply(entry)
    assert other.applied_twice() == [("anna~1", 1)]


def test_an_operation_that_comes_before_its_past_waits_for_it():
    anna, ben, carla = CrdtValues(), CrdtValues(), CrdtValues()
    added = entry_of(anna, "anna~1", 1, Change("cart", "add", "milk"))
    ben.apply(added)
    removed = entry_of(ben, "ben~1", 1, Change("cart", "remove", "milk"))
    carla.apply(removed)
    carla.apply(added)
    assert carla.contents() == {"cart": frozenset()}


def test_what_took_effect_and_is_not_within_a_version_is_told():
    values = AppliedOperations()
    for number in (1, 2, 3):
        values.apply(entry_of(values, "anna~1", number, Change("key", "increment", 1)))
    assert values.beyond(VersionVector({"anna~1": 1})) == [("anna~1", 2), ("anna~1", 3)]
    assert values.beyond(VersionVector({"anna~1": 3})) == CrdtValues().beyond(VersionVector()) == []
