"""`check_convergence`: a CRDT is tested by one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st

from crdts.errors import InsufficientRightsError
from crdts.testing.cluster import Cluster
from crdts.testing.history import History
from crdts.testing.laws import check_laws, check_settled
from crdts.testing.steps import Commands, Draw, Steps
from crdts.testing.story import Discrepancy

Specification: TypeAlias = Callable[[History], Any]

REFUSALS: tuple[type[Exception], ...] = (IndexError, InsufficientRightsError)

# How often each step is taken, relative to the others. Hypothesis shrinks towards the front: to taking none.
_WEIGHTS = {
    "none": 1,
    "issue": 10,
    "deliver": 6,
    "merge": 3,
    "catch_up": 2,
    "catch_up_all": 1,
    "stabilize": 3,
    "stabilize_late": 1,
    "deliver_as_bytes": 2,
    "deliver_again": 1,
    "deliver_early": 1,
    "read_back": 1,
    "leave_behind": 1,
    "merge_former": 1,
}
_KIND = st.sampled_from([kind for kind, weight in _WEIGHTS.items() for _ in range(weight)])


def check_convergence(
    crdt_type: type[Any],
    commands: Commands,
    *,
    specification: Specification | None = None,
    replicas: int = 3,
    refusals: tuple[type[Exception], ...] = REFUSALS,
    max_examples: int = 100,
    max_steps: int = 40,
    seed: int | None = None,
) -> None:
    """Checks that replicas of a type agree, whatever is done to them and however they learn of it.

    Each example is a random walk over a few replicas: commands; deliveries in any causal order, of operations as they
    are and as bytes, again, and before their past; merges of states, present and former; stabilisation at versions that
    are causally stable; restarts from bytes; copies. In the end everything is delivered everywhere, also to a newcomer.
    Checked after every step:

    * all that have seen the same commands have the same version, the same value (compared as it prints, so that `1` is
      not `True`) and, once stabilised as far as can be, the same state. So the route by operations equals the route by
      states; `merge` is idempotent, commutative and associative, which is tried on copies in every example as well;
    * the value is the one that the specification gives for the visible history;
    * a duplicate makes `apply` return False, a gap makes it raise `CausalityError`, and both change nothing;
    * `stabilize`, `copy` and the way through bytes keep version, value and state;
    * nobody changes but the replica that took the step.

    Args:
        crdt_type: the type; `crdt_type(replica_id)` makes an empty replica. It offers `apply`, `merge`, `copy`,
            `to_bytes`, `from_bytes`, `stabilize`, `version`, `value` and `==` as the types of `crdts` do.
        commands: a strategy for one command, a pair of a method's name and its arguments such as `("add", ("milk",))`;
            or, where what makes sense depends on the value (positions in a list), a function from the replica to such a
            strategy. The method returns its operation, or None if there was nothing to do.
        specification: a pure function from the visible `History` to the value that belongs to it. Where the type leaves
            freedom (the order of elements inserted concurrently) it may return a predicate on the value instead.
        replicas: how many replicas there are, 2 to 26.
        refusals: exceptions by which a method may refuse a command; a refused command must change nothing.
        max_examples: how many random walks are tried.
        max_steps: how long a walk may be.
        seed: makes the walks the same in every run; by default each run tries others.

    Raises:
        Discrepancy: an `AssertionError` whose text is the shortest story found in which a promise is broken.
        TypeError: `commands` produced something that is not a command.
    """

    @settings(
        max_examples=max_examples,
        deadline=None,
        database=None,  # its key would be this function, whatever the type
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,  # the story is the report
        phases=(Phase.generate, Phase.shrink),  # explaining traces every line: ten times slower
        suppress_health_check=list(HealthCheck),
    )
    @given(_discrepancies(crdt_type, commands, specification, replicas, refusals, max_steps))
    def run(discrepancy: Discrepancy | None) -> None:
        if discrepancy is not None:
            raise Discrepancy(*discrepancy.args) from discrepancy.__cause__

    (run if seed is None else hypothesis.seed(seed)(run))()


@st.composite
def _discrepancies(
    draw: Draw,
    crdt_type: type[Any],
    commands: Commands,
    specification: Specification | None,
    replicas: int,
    refusals: tuple[type[Exception], ...],
    max_steps: int,
) -> Discrepancy | None:
    cluster = Cluster(crdt_type, replicas=replicas, specification=specification, refusals=refusals)
    try:
        _walk(cluster, Steps(cluster, commands, draw), draw, max_steps)
    except Discrepancy as discrepancy:
        return discrepancy
    return None


def _walk(cluster: Cluster, steps: Steps, draw: Draw, max_steps: int) -> None:
    step = _step(steps)
    for _ in range(draw(st.integers(0, max_steps))):
        draw(step)
    check_laws(cluster)
    check_settled(cluster, steps.choose)


@st.composite
def _step(draw: Draw, steps: Steps) -> None:
    """Takes one step; a strategy of its own, so that Hypothesis leaves out steps as a whole when it shrinks."""
    kind = draw(_KIND)
    if kind != "none":
        getattr(steps, kind)()
