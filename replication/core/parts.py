"""The parts of a replica, put together: each is given what it needs, and knows of nothing else."""

from dataclasses import dataclass
from random import Random

from crdts import VersionVector
from replication.core.anti_entropy import AntiEntropy
from replication.core.gossip import Gossip
from replication.core.holdings import Holdings
from replication.core.incarnation import Incarnation
from replication.core.intake import Intake
from replication.core.members import Members
from replication.core.membership import Membership
from replication.core.neighbours import Neighbours
from replication.core.own_log import OwnLog
from replication.core.questions import Questions
from replication.core.scrutiny import Scrutiny
from replication.core.settings import Settings
from replication.core.snapshot_source import SnapshotSource
from replication.core.snapshot_target import SnapshotTarget
from replication.core.stability import Stability
from replication.core.takeover import Takeover
from replication.core.tally import Tally


@dataclass(frozen=True, slots=True)
class Start:
    """What a replica starts from; `ReplicaCore` explains each."""

    replica_id: str
    log_id: str
    fresh_log_id: str
    vector: VersionVector
    floor: VersionVector
    head: int
    facts: dict[str, bytes]
    random: Random
    now: float
    settings: Settings
    address: str
    expected: int


class Parts:
    """All parts of one replica.

    Args:
        start: what it starts from.
    """

    def __init__(self, start: Start) -> None:
        me, settings, facts = start.replica_id, start.settings, start.facts
        self.settings = settings
        self.holdings = holdings = Holdings(start.vector, start.floor, start.head)
        self.members = members = Members(me, settings)
        self.neighbours = links = Neighbours()
        self.own_log = log = OwnLog(start.log_id, start.fresh_log_id, holdings)
        self.incarnation = said = Incarnation(me, int(facts.get("incarnation", b"0")), start.address, members)
        self.scrutiny = scrutiny = Scrutiny(log, holdings)
        self.tally = tally = Tally(me, holdings, members, start.expected)
        self.stability = Stability(holdings, members, tally)
        self.membership = Membership(said, holdings, scrutiny, members, links, tally, settings)
        self.anti_entropy = AntiEntropy(me, holdings, members, links, settings)
        self.questions = Questions(me, holdings, scrutiny, members, links, self.anti_entropy, tally, settings)
        self.source = SnapshotSource(holdings, settings)
        self.takeover = takeover = Takeover(holdings)
        progress = facts.get("bootstrap")
        self.target = target = SnapshotTarget(
            progress, start.now, holdings, scrutiny, members, links, takeover, settings
        )
        self.gossip = Gossip(said, log, holdings, members, links, target, settings, start.random)
        self.intake = Intake(holdings, scrutiny, members, links, self.gossip, takeover, settings)
        self.membership.recall(start.now, facts)
