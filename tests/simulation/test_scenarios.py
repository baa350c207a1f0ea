"""What replicas do when something goes wrong, told as short scripts; every step is checked as in a random schedule."""

import pytest

from replication.core.settings import Settings
from replication.testing import NetworkFaults, Scenario, SimulationError


def test_both_sides_of_a_partition_write_on_and_agree_when_it_heals():
    scenario = Scenario("anna", "ben", "carla", "dora")
    scenario.run_for(1)
    scenario.part(["anna", "ben"], ["carla", "dora"])
    scenario.add("anna", "cart", "milk")
    scenario.add("dora", "cart", "bread")
    scenario.run_for(5)
    assert scenario.value("ben", "cart") == {"milk"}
    assert scenario.value("carla", "cart") == {"bread"}
    scenario.heal()
    scenario.converge()
    assert scenario.value("anna", "cart") == scenario.value("carla", "cart") == {"milk", "bread"}


@pytest.mark.parametrize("shape", ["mesh", "ring", "line", "star"])
def test_any_topology_heals_through_third_replicas(shape):
    names = ["anna", "ben", "carla", "dora", "emil", "frida", "gustav"]
    scenario = Scenario(*names, shape=shape)
    scenario.run_for(1)
    scenario.part(names[:3], names[3:])
    for name in names:
        scenario.count(name, "visits")
    scenario.run_for(5)
    assert scenario.value("anna", "visits") < len(names)
    scenario.heal()
    assert scenario.converge() < 20
    assert {scenario.value(name, "visits") for name in names} == {len(names)}


def test_the_majority_meets_its_quorum_and_the_minority_does_not():
    scenario = Scenario("anna", "ben", "carla")
    scenario.run_for(1)
    scenario.part(["anna"], ["ben", "carla"])
    scenario.add("anna", "cart", "milk")
    scenario.add("ben", "cart", "bread")
    minority, majority = scenario.wait_for_last("anna", "majority"), scenario.wait_for_last("ben", "majority")
    everybody = scenario.wait_for_last("ben", "all")
    scenario.run_for(10)
    assert scenario.is_over("ben", majority)
    assert not scenario.is_over("anna", minority)
    assert not scenario.is_over("ben", everybody)
    scenario.heal()
    scenario.converge()
    scenario.run_for(2)
    assert scenario.is_over("anna", minority)
    assert scenario.is_over("ben", everybody)


def test_a_read_at_a_quorum_holds_what_the_majority_held_when_it_began():
    scenario = Scenario("anna", "ben", "carla", shape="line")
    scenario.run_for(1)
    scenario.part(["anna"], ["ben", "carla"])
    scenario.add("carla", "cart", "milk")
    scenario.run_for(1)
    read = scenario.ask("anna", 2)
    scenario.run_for(5)
    assert not scenario.is_over("anna", read)
    scenario.heal()
    scenario.run_for(10)
    assert scenario.is_over("anna", read)
    assert scenario.value("anna", "cart") == {"milk"}


def test_a_replica_that_restarts_keeps_what_was_durable_and_catches_up():
    scenario = Scenario("anna", "ben", "carla")
    scenario.run_for(1)
    scenario.add("anna", "cart", "milk")
    scenario.converge()
    scenario.crash("anna")
    assert scenario.value("anna", "cart") == {"milk"}
    scenario.add("ben", "cart", "bread")
    scenario.take_out("carla", "cart", "milk")
    scenario.run_for(5)
    scenario.start("anna")
    scenario.converge()
    assert scenario.value("anna", "cart") == {"bread"}


def test_a_replica_that_was_restored_from_an_old_disk_does_not_use_its_numbers_again():
    scenario = Scenario("anna", "ben", "carla")
    scenario.run_for(1)
    scenario.count("anna", "visits")
    scenario.converge()
    backup = scenario.back_up("anna")
    scenario.count("anna", "visits", 10)
    scenario.converge()
    scenario.crash("anna")
    scenario.restore("anna", backup)
    scenario.start("anna")
    scenario.count("anna", "visits", 100)  # before anybody could tell her what she has forgotten
    scenario.converge()
    assert {scenario.value(name, "visits") for name in ("anna", "ben", "carla")} == {111}


def test_a_replica_that_lost_its_journal_gets_back_what_others_hold():
    scenario = Scenario("anna", "ben", "carla")
    scenario.run_for(1)
    for element in ("milk", "bread", "tea"):
        scenario.add("anna", "cart", element)
    scenario.converge()
    scenario.crash("anna")
    scenario.lose_journal("anna")
    assert scenario.value("anna", "cart") is None
    scenario.start("anna")
    scenario.add("anna", "cart", "salt")
    scenario.converge()
    assert scenario.value("anna", "cart") == scenario.value("carla", "cart") == {"milk", "bread", "tea", "salt"}


def compacted_scenario(newcomers=("carla",)):
    """Return a scenario in which anna and ben hold forty keys in states only, and newcomers may join."""
    settings = Settings(batch_bytes=400, gossip_interval_seconds=0.5)
    scenario = Scenario("anna", "ben", newcomers=newcomers, settings=settings)
    scenario.run_for(1)
    for place in range(40):
        scenario.count("anna", f"counter {place:02}", place + 1)
    scenario.record_event("ben")
    scenario.converge()
    scenario.run_for(5)
    scenario.compact("anna")
    scenario.compact("ben")
    return scenario


def test_a_newcomer_is_given_the_states_that_logs_no_longer_contain():
    scenario = compacted_scenario()
    scenario.join("carla")
    scenario.converge()
    assert [scenario.value("carla", f"counter {place:02}") for place in range(40)] == list(range(1, 41))
    assert scenario.event_count("carla") == 1


def test_a_newcomer_goes_on_where_it_was_cut_off():
    scenario = compacted_scenario()
    scenario.join("carla")
    scenario.slow_disk("carla", 0.05)
    scenario.run_for(0.9)
    assert 0 < len(staged_keys(scenario, "carla")) < 40
    assert scenario.value("carla", "counter 00") is None
    scenario.crash("carla")
    scenario.run_for(2)
    scenario.start("carla")
    scenario.count("anna", "counter 00", 100)
    scenario.converge()
    assert scenario.value("carla", "counter 00") == 101
    assert scenario.value("carla", "counter 39") == 40


def staged_keys(scenario, replica_id):
    """Return the keys whose states a replica has staged."""
    parts = scenario.simulation.replicas[replica_id].disk.parts
    return [state.key for part in parts.values() for state in part.states]


def test_a_newcomer_half_through_the_states_of_a_removed_replica_keeps_nothing_that_nobody_else_holds():
    scenario = compacted_scenario()
    scenario.cut("anna", "ben")
    scenario.count("anna", "counter 00", 1000)
    scenario.join("carla")
    scenario.cut("ben", "carla")
    scenario.slow_disk("carla", 0.05)
    scenario.run_for(0.9)
    assert 0 < len(staged_keys(scenario, "carla")) < 40
    scenario.crash("anna")
    scenario.remove("ben", "anna")
    scenario.heal()
    scenario.converge()
    assert scenario.value("carla", "counter 00") == scenario.value("ben", "counter 00") == 1
    assert scenario.value("carla", "counter 39") == 40
    scenario.run_for(2)
    assert staged_keys(scenario, "carla") == []


def test_newcomers_half_through_states_that_are_gone_everywhere_take_others_and_wait_for_nobody():
    scenario = compacted_scenario(newcomers=["carla", "dora"])
    backup = scenario.back_up("anna")
    scenario.cut("anna", "ben")
    scenario.count("anna", "counter 00", 1000)
    for newcomer in ("carla", "dora"):
        scenario.join(newcomer)
        scenario.cut("ben", newcomer)
        scenario.slow_disk(newcomer, 0.05)
    scenario.run_for(0.9)
    assert all(0 < len(staged_keys(scenario, newcomer)) < 40 for newcomer in ("carla", "dora"))
    scenario.crash("anna")
    scenario.restore("anna", backup)
    scenario.start("anna")
    scenario.heal()
    scenario.converge()
    assert {scenario.value(name, "counter 00") for name in ("anna", "ben", "carla", "dora")} == {1}


def test_what_a_removed_replica_wrote_counts_as_far_as_a_survivor_holds_it():
    scenario = Scenario("anna", "ben", "carla")
    scenario.run_for(1)
    scenario.count("carla", "visits", 1)
    scenario.converge()
    scenario.part(["carla"], ["anna", "ben"])
    scenario.count("carla", "visits", 10)
    scenario.run_for(15)
    assert scenario.member_states("anna")["carla"] == "dead"
    scenario.count("anna", "visits", 100)
    everybody = scenario.wait_for_last("anna", "all")
    scenario.run_for(2)
    assert not scenario.is_over("anna", everybody)
    scenario.remove("anna", "carla")
    scenario.run_for(5)
    assert scenario.is_over("anna", everybody)
    scenario.heal()
    scenario.run_for(10)
    assert scenario.value("anna", "visits") == scenario.value("ben", "visits") == 101
    assert scenario.member_states("ben")["carla"] == "removed"


def test_who_can_speak_but_not_hear_ends_the_connection_and_both_agree_when_it_heals():
    scenario = Scenario("anna", "ben", "carla")
    scenario.run_for(1)
    scenario.block("anna", "ben")
    scenario.add("anna", "cart", "milk")
    scenario.run_for(10)
    assert not scenario.are_connected("anna", "ben")
    assert scenario.value("ben", "cart") == {"milk"}  # by way of carla
    scenario.heal()
    scenario.run_for(5)
    assert scenario.are_connected("anna", "ben")


def test_who_has_a_full_disk_acknowledges_nothing_and_is_asked_nothing_twice():
    scenario = Scenario("anna", "ben", "carla")
    scenario.run_for(1)
    scenario.fill_disk("carla")
    scenario.add("anna", "cart", "milk")
    two, three = scenario.wait_for_last("anna", 2), scenario.wait_for_last("anna", 3)
    scenario.run_for(10)
    assert scenario.is_over("anna", two)
    assert not scenario.is_over("anna", three)
    assert scenario.value("carla", "cart") is None
    scenario.empty_disk("carla")
    scenario.converge()
    scenario.run_for(2)
    assert scenario.is_over("anna", three)


def test_a_slow_disk_delays_its_own_acknowledgement_only():
    scenario = Scenario("anna", "ben", "carla")
    scenario.run_for(1)
    scenario.slow_disk("carla", 3.0)
    scenario.add("anna", "cart", "milk")
    two, three = scenario.wait_for_last("anna", 2), scenario.wait_for_last("anna", 3)
    scenario.run_for(1)
    assert scenario.is_over("anna", two)
    assert not scenario.is_over("anna", three)
    scenario.run_for(4)
    assert scenario.is_over("anna", three)


def test_clocks_that_run_at_half_and_twice_the_speed_decide_nothing():
    scenario = Scenario("anna", "ben", "carla", clock_rates={"ben": 0.5, "carla": 2.0})
    scenario.run_for(1)
    for name in ("anna", "ben", "carla"):
        scenario.add(name, "cart", name)
    scenario.converge()
    scenario.run_for(20)
    assert scenario.value("anna", "cart") == {"anna", "ben", "carla"}
    assert set(scenario.member_states("anna").values()) == {"alive"}


def test_a_network_that_loses_every_third_message_only_takes_longer():
    faults = NetworkFaults((0.001, 0.2), loss=0.33, duplication=0.2, ordered=False)
    scenario = Scenario("anna", "ben", "carla", shape="line", settings=Settings(ordered=False), faults=faults)
    for number in range(20):
        scenario.count("anna", "visits")
        scenario.count("carla", "visits")
        scenario.run_for(0.1 * (number % 3))
    scenario.converge()
    assert scenario.value("ben", "visits") == 40


@pytest.mark.parametrize("seed", range(4))
def test_what_a_replica_forgot_is_told_again_by_those_to_whom_it_told_it(seed):
    names = ["anna", "ben", "carla", "dora", "emil"]
    scenario = Scenario(*names, shape="ring", seed=seed)
    scenario.run_for(2)
    scenario.cut("anna", "emil")  # anna has told ben of emil, and now he is the only one who can tell her
    scenario.crash("anna")
    scenario.run_for(1)
    scenario.start("anna")
    for name in names:
        scenario.count(name, "visits")
    scenario.converge()
    scenario.run_for(10)
    cores = [replica.running for replica in scenario.simulation.up]
    assert [core.stable for core in cores] == [core.vector for core in cores]
    assert {scenario.value(name, "visits") for name in names} == {len(names)}


def test_the_same_script_runs_the_same_way_again():
    def trace_hash():
        scenario = Scenario("anna", "ben", "carla", "dora", shape="ring", seed=5)
        scenario.run_for(1)
        scenario.cut("anna", "ben")
        scenario.add("anna", "cart", "milk")
        scenario.crash("dora")
        scenario.run_for(3)
        scenario.start("dora")
        scenario.heal()
        scenario.converge()
        return scenario.simulation.trace.hash

    assert trace_hash() == trace_hash()


def test_a_script_that_cannot_converge_says_what_differs_and_what_happened_last():
    scenario = Scenario("anna", "ben", seed=9)
    scenario.run_for(1)
    scenario.cut("anna", "ben")
    scenario.add("anna", "cart", "milk")
    with pytest.raises(SimulationError, match="scenario with seed 9: 60 rounds later anna holds") as caught:
        scenario.converge()
    assert caught.value.promise == "convergence"
    assert "holds anna anna~1:1" in str(caught.value)
