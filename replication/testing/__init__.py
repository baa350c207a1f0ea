"""A simulation of replicas in virtual time: no event loop, no waiting, and the same run from the same seed.

The protocol that runs here is the one that is shipped; only the network, the disks and the clocks are simulated, so
that they can fail. After every step it is checked that each entry comes after its past and once, that nothing is
acknowledged before it is durable, that quorums hold what they say, and that nothing is forgotten.

A script says what happens:

>>> scenario = Scenario("anna", "ben", "carla", shape="line")
>>> scenario.run_for(1)
>>> scenario.part(["anna"], ["ben", "carla"])
>>> scenario.add("anna", "cart", "milk")
>>> scenario.add("carla", "cart", "bread")
>>> majority = scenario.wait_for_last("carla", "majority")
>>> scenario.run_for(5)
>>> scenario.is_over("carla", majority), scenario.value("ben", "cart")
(True, frozenset({'bread'}))
>>> scenario.heal()
>>> rounds = scenario.converge()
>>> sorted(scenario.value("ben", "cart"))
['bread', 'milk']

Or a seed decides what goes wrong, and how often; then everything heals, and all replicas must become equal:

>>> report = Schedule(7).run()
>>> report == Schedule(7).run()
True

`Schedule(7, draw_plan=draw_newcomers)` has logs forgotten early, and snapshots cut off all the time.

A failure is a `SimulationError` that names its seed; `python -m replication.testing SEED` shows the whole run again.
To see a fault caught, give another protocol or disk: `Schedule(7, core_type=…, disk_type=…)`.
"""

from replication.testing.disk import Disk
from replication.testing.network import NetworkFaults
from replication.testing.plan import Plan, draw, draw_newcomers
from replication.testing.promises import SimulationError
from replication.testing.scenario import Scenario
from replication.testing.schedule import Report, Schedule
from replication.testing.simulation import Simulation
from replication.testing.values import AppliedOperations, Change, CrdtValues

__all__ = [
    "AppliedOperations",
    "Change",
    "CrdtValues",
    "Disk",
    "NetworkFaults",
    "Plan",
    "Report",
    "Scenario",
    "Schedule",
    "Simulation",
    "SimulationError",
    "draw",
    "draw_newcomers",
]
