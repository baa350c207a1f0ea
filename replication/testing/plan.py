"""What a seed draws: how many replicas, how fast everything is, and how often what goes wrong."""

from dataclasses import dataclass, replace
from random import Random

from replication.core.settings import Settings
from replication.testing.network import NetworkFaults

NAMES = ["anna", "ben", "carla", "dora", "emil", "frida", "gustav", "hanna", "ida"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a seed has drawn.

    Attributes:
        names: the replicas.
        late: how many of them join during the run.
        shape: the topology.
        settings: those of the cores.
        faults: what goes wrong with messages.
        seconds: how long things go wrong.
        skew: how far clocks are fast or slow.
        commit_seconds: the least and the most that a commit takes.
        pause_seconds: how long it takes on average until the next thing happens.
        weights: how often what happens, against one another.
        is_cautious: whether newcomers, and those whose disk went back, write only when everybody has heard of them, so
            that stability is promised, checked, and used to forget operations.
        has_crdts: whether values are real CRDTs.
    """

    names: list[str]
    late: int
    shape: str
    settings: Settings
    faults: NetworkFaults
    seconds: float
    skew: float
    commit_seconds: tuple[float, float]
    pause_seconds: float
    weights: dict[str, float]
    is_cautious: bool
    has_crdts: bool


def draw(seed: int) -> Plan:
    """Return what goes wrong under a seed."""
    random = Random(f"plan {seed}")
    ordered = random.random() < 0.5
    interval = random.choice([0.5, 1.0, 2.0])
    names = NAMES[: random.choice([3, 3, 4, 4, 5, 5, 6, 7, 8, 9])]
    is_cautious = random.random() < 0.6
    settings = Settings(
        gossip_interval_seconds=interval,
        fanout=random.choice([1, 2, 3]),
        suspect_after_seconds=interval * 6,
        dead_after_seconds=interval * 15,
        resend_after_seconds=interval * random.choice([3, 6]),
        batch_bytes=random.choice([200, 1000, 128 * 1024]),
        window_bytes=random.choice([600, 5000, 1024 * 1024]),
        incoming_bytes=random.choice([1000, 8 * 1024 * 1024]),
        introductions_max=random.choice([2, 64]),
        ordered=ordered,
    )
    settings = replace(settings, claims_max=settings.introductions_max)
    rate = 0.0 if ordered and random.random() < 0.5 else random.random()
    faults = NetworkFaults(
        delay_seconds=(0.001, random.choice([0.01, 0.1, 0.4])),
        loss=rate * (0.02 if ordered else 0.3),
        duplication=rate * 0.2,
        ordered=ordered,
        through_bytes=random.random() < 0.1,
    )
    trouble = ["cut", "one way", "part", "heal", "crash", "start", "mark", "restore", "fill", "empty", "slow", "break"]
    weights = {name: random.choice([0.0, 0.5, 1.0, 2.0]) for name in trouble}
    weights |= {"heal": 2.0, "start": 3.0, "empty": 3.0, "join": 1.0, "remove": random.choice([0.0, 0.0, 0.5])}
    weights |= {"write": random.choice([5.0, 15.0, 30.0]), "events": random.choice([0.0, 3.0, 8.0])}
    weights |= {"wait": 3.0, "ask": 2.0, "compact": random.choice([0.0, 4.0]) if is_cautious else 0.0}
    return Plan(
        names=names,
        late=random.choice([0, 0, 1, 2]),
        shape=random.choice(["mesh", "ring", "line", "star"]),
        settings=settings,
        faults=faults,
        seconds=interval * random.choice([10, 20, 40]),
        skew=random.choice([0.0, 0.01, 0.2]),
        commit_seconds=(0.0, random.choice([0.0, 0.01, 0.1])),
        pause_seconds=interval * random.choice([0.1, 0.3]),
        weights=weights,
        is_cautious=is_cautious,
        has_crdts=random.random() < 0.25,
    )


def draw_newcomers(seed: int) -> Plan:
    """Return a plan under which snapshots are taken over all the time, and their sources fail in the middle.

    Logs are forgotten early, disks go back, replicas join late and are removed; messages are small, so that a snapshot
    takes many of them. What is rare in `draw` happens in every run. Nobody is cautious, so stability is not promised.
    """
    plan, random = draw(seed), Random(f"newcomers {seed}")
    weights = plan.weights | {"write": 15.0, "events": random.choice([0.0, 4.0]), "compact": 8.0}
    weights |= {"join": 2.0, "mark": 2.0, "restore": random.choice([1.0, 2.0]), "remove": random.choice([0.0, 0.7])}
    weights |= {"crash": random.choice([0.5, 1.5]), "cut": random.choice([0.0, 1.0]), "fill": random.choice([0.0, 0.5])}
    interval = plan.settings.gossip_interval_seconds
    names = NAMES[: random.choice([4, 5, 6, 7])]
    return replace(
        plan,
        names=names,
        late=random.choice([0, 1, 2]),
        settings=replace(plan.settings, batch_bytes=random.choice([1, 200, 1000]), window_bytes=1024 * 1024),
        faults=replace(plan.faults, delay_seconds=(0.001, interval * random.choice([0.02, 0.1]))),
        seconds=interval * random.choice([20, 40]),
        weights=weights,
        is_cautious=False,
    )
