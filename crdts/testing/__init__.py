"""Property tests for replicated data: does a type converge, whatever happens to its operations on their way?

A user's own CRDT is tested in three lines::

    def test_baskets_converge() -> None:
        commands = st.tuples(st.sampled_from(["add", "remove"]), st.tuples(st.sampled_from(["milk", "bread"])))
        check_convergence(Basket, commands)

What comes out of a failure is the shortest story found that shows it, one line for each thing that happened.
It needs Hypothesis (`pip install calliope-streams[testing]`).
"""

from crdts.testing.cluster import Cluster
from crdts.testing.command import Command
from crdts.testing.convergence import REFUSALS, check_convergence
from crdts.testing.history import History, Issued
from crdts.testing.machine import ConvergenceMachine, convergence_machine
from crdts.testing.story import Discrepancy

__all__ = [
    "REFUSALS",
    "Cluster",
    "Command",
    "ConvergenceMachine",
    "Discrepancy",
    "History",
    "Issued",
    "check_convergence",
    "convergence_machine",
]
