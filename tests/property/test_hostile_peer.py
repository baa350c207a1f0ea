"""A member that says anything at any moment: legal messages, whose fields are true, old, or lies that can be noticed.

Anna and Ben are real, and write; Mallory is connected with Anna. Whatever he says, Anna's core raises nothing, alters
nothing, counts nobody for what he does not hold, and blames nobody but Mallory. When he is gone, the two agree.

What a member that knows the secret says of third parties, of which nobody here can know better, is believed; so that
is no part of this.
"""

from random import Random

import pytest

from calliope.stores.replica_store import StoredState
from calliope.stores.versioned import LogEntry
from crdts import VersionVector
from replication.core.messages import (
    Acknowledgement,
    Answer,
    Claim,
    Cursor,
    Digest,
    Entries,
    Fence,
    Heard,
    Heartbeat,
    Introduction,
    Message,
    Question,
    Row,
    SnapshotChunk,
    SnapshotRequest,
)
from replication.wire import decode, encode
from tests.unit.replication.core.replicas import Replica, connect, converse, disconnect, entry

STEPS = 80
ANNA, BEN, MALLORY = "anna~1", "ben~1", "mallory~1"


class Liar:
    """Makes up Mallory's messages.

    Args:
        random: what he says next.
        anna: whom he says it to.
        ben: of whom he says nothing but what is true.
    """

    def __init__(self, random: Random, anna: Replica, ben: Replica) -> None:
        self.random = random
        self.anna = anna
        self.ben = ben

    def message(self) -> Message:
        kind = self.random.choice([Digest, Heartbeat, Acknowledgement, Entries, Entries, Question, Answer, Cursor, Row])
        match kind:
            case _ if kind is Digest:
                return self.digest()
            case _ if kind is Heartbeat:
                return Heartbeat(self.number(), self.roster(), self.roster(), self.heard())
            case _ if kind is Acknowledgement:
                return Acknowledgement(self.vector())
            case _ if kind is Entries:
                return Entries(
                    tuple(self.entry() for _ in range(self.random.randint(0, 3))), self.random.choice([0, 0, 1, 5])
                )
            case _ if kind is Question:
                return Question(self.name(), self.number(), self.vector())
            case _ if kind is Answer:
                return Answer(self.random.choice(["anna", "ben"]), self.number(), "mallory", self.vector())
            case _ if kind is Cursor:
                return SnapshotRequest(self.cursor(), self.random.choice([None, self.vector()]), self.vector())
            case _:
                return self.chunk()

    def digest(self) -> Digest:
        speaker = "ben" if self.random.random() < 0.05 else "mallory"
        met = tuple(self.introduction() for _ in range(self.random.randint(0, 2)))
        claims = tuple(self.claim() for _ in range(self.random.randint(0, 2)))
        fences = [Fence("carla", self.vector(1))] if self.random.random() < 0.05 else []
        own = self.row(speaker)
        floor = self.random.choice([VersionVector(), VersionVector(), own.vector.meet(self.vector()), self.vector()])
        neighbours = tuple({self.name() for _ in range(2)})
        said = own, floor, met, self.roster(), self.roster(), claims, self.heard(), tuple(fences), neighbours
        return Digest(*said, self.random.randint(0, 2), self.flips(), self.vector())

    def introduction(self) -> Introduction:
        return Introduction(self.name(), self.random.randint(0, 2), self.random.choice(["", "127.0.0.1:1"]))

    def claim(self) -> Claim:
        """Claims what others hold; of Ben nothing but what is true, or what can be noticed."""
        who = self.random.choice(["anna", "carla", "ben"])
        return Claim(
            self.row(who).vector, self.random.choice([self.anna.bits(who), b"", b"\xff" if who == "ben" else b""])
        )

    def heard(self) -> tuple[Heard, ...]:
        return tuple(Heard(self.age(), self.random.randbytes(self.random.choice([0, 1, 2]))) for _ in range(3))

    def roster(self) -> int:
        return self.random.choice([*self.anna.rosters, self.number()])

    def row(self, replica_id: str) -> Row:
        log_id = self.random.choice([f"{replica_id}~1", ANNA, "mallory~2"])
        vector = self.vector(0.3)
        if replica_id == "ben" and vector[ANNA] <= self.anna.held[ANNA]:
            vector = vector.meet(self.ben.held)
        return Row(replica_id, self.random.randint(0, 2), log_id, vector, self.random.choice(["", "127.0.0.1:1"]))

    def vector(self, lies: float = 0.1) -> VersionVector:
        """What Mallory may hold, and sometimes what nobody can: what Anna has not written yet."""
        held = {log_id: self.random.randint(0, number) for log_id, number in self.anna.held.items()}
        held[MALLORY] = self.random.randint(0, 9)
        if self.random.random() < lies:
            held[ANNA] = self.anna.held[ANNA] + self.random.choice([1, 2, 2**62])
        return VersionVector({log_id: number for log_id, number in held.items() if self.flips() and number})

    def entry(self) -> LogEntry:
        log_id = self.random.choice([MALLORY, MALLORY, MALLORY, BEN, ANNA])
        number = self.random.randint(1, self.anna.held[log_id] + 1 if log_id != BEN else max(1, self.anna.held[BEN]))
        if log_id == BEN and not self.anna.held[BEN]:
            log_id = MALLORY
        made = entry(log_id, number, self.random.choice(["events", "operations"]), size=self.random.choice([1, 1, 7]))
        if self.random.random() < 0.1:
            return LogEntry(log_id, number, made.kind, made.checksum ^ 1, made.body)
        return made

    def chunk(self) -> SnapshotChunk:
        states = tuple(StoredState(f"key{n}", "gcounter", b"x") for n in range(self.random.randint(0, 2)))
        entries = tuple(self.entry() for _ in range(self.random.randint(0, 2)))
        following = self.random.choice([None, self.cursor()])
        return SnapshotChunk(self.cursor(), self.vector(), states, entries, following, self.vector())

    def cursor(self) -> Cursor:
        return Cursor(self.random.choice([None, "", "", "key", "key1"]), self.random.choice([0, 0, 1, self.number()]))

    def name(self) -> str:
        return self.random.choice(["anna", "ben", "mallory", "carla"])

    def number(self) -> int:
        return self.random.choice([0, 1, 2, 3, 2**63 - 1])

    def age(self) -> float:
        return self.random.choice([0.0, 1.0, 1e300])

    def flips(self) -> bool:
        return self.random.random() < 0.5


class Play:
    """Anna and Ben, who write, and Mallory, who says anything to Anna."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.anna, self.ben = Replica("anna"), Replica("ben")
        self.liar = Liar(self.random, self.anna, self.ben)
        self.is_present = self.are_together = False
        self.asked = 0
        self.said: list[Message] = []
        self.steps = [
            *[self.lie] * 12,
            *[self.write] * 4,
            *[self.talk] * 3,
            *[self.pass_time] * 2,
            self.part,
            self.leave,
            self.ask,
        ]

    def run(self) -> None:
        self.join()
        for _ in range(STEPS):
            self.random.choice(self.steps)()
            self.check()
        self.heal()

    def write(self) -> None:
        writer = self.random.choice([self.anna, self.ben])
        self.random.choice([writer.write, writer.write_event])()

    def talk(self) -> None:
        converse(self.anna, self.ben)

    def pass_time(self) -> None:
        seconds = self.random.choice([0.1, 1.0, 30.0])
        for replica in (self.anna, self.ben):
            replica.wait(seconds)

    def ask(self) -> None:
        self.asked += 1
        self.anna.do(self.anna.core.ask(self.anna.now, self.asked, self.random.choice([2, 3, "all"])))

    def join(self) -> None:
        if not self.are_together:
            connect(self.anna, self.ben)
            self.are_together = True

    def part(self) -> None:
        if self.are_together:
            disconnect(self.anna, self.ben)
            self.are_together = False
        else:
            self.join()

    def leave(self) -> None:
        if self.is_present:
            self.anna.do(self.anna.core.disconnected(self.anna.now, "mallory"))
            self.is_present = False

    def lie(self) -> None:
        if not self.is_present:
            self.is_present = True
            self.anna.do(self.anna.core.connected(self.anna.now, "mallory"))
        message = self.liar.message()
        self.said.append(message)
        assert decode(encode(message)) == message, "it is legal on the wire"
        future = self.anna.held[ANNA] + 1
        self.anna.hear("mallory", message)
        if isinstance(message, Acknowledgement) and message.vector[ANNA] >= future:
            assert self.anna.refused
        if isinstance(message, Digest) and is_a_lie(message, future):
            assert self.anna.refused
        assert not self.anna.core.holders(ANNA, future), "nobody holds what is not written"

    def check(self) -> None:
        anna, ben = self.anna, self.ben
        assert {peer for peer, _ in anna.refused} <= {"mallory"}
        assert not ben.refused
        if anna.refused:
            anna.refused.clear()
            self.leave()
        assert anna.held[ANNA] == anna.log.state.vector[ANNA]
        assert anna.held[BEN] <= ben.held[BEN]
        for number in range(1, anna.held[ANNA] + 1):
            assert "ben" not in anna.core.holders(ANNA, number) or ben.held[ANNA] >= number
        assert anna.core.stable[ANNA] <= (ben.held[ANNA] if self.knows_ben() else anna.held[ANNA])

    def knows_ben(self) -> bool:
        return any(member.replica_id == "ben" for member in self.anna.core.members(self.anna.now))

    def heal(self) -> None:
        self.leave()
        self.join()
        for _ in range(20):
            converse(self.anna, self.ben)
            self.pass_time()
        converse(self.anna, self.ben)
        assert self.anna.held == self.ben.held
        assert not self.ben.refused
        in_states = self.anna.log.state.floor.merge(self.ben.log.state.floor)
        assert in_logs(self.anna, in_states) == in_logs(self.ben, in_states)
        assert all(one.is_whole for one in in_logs(self.anna, in_states))


def is_a_lie(digest: Digest, future: int) -> bool:
    claims = digest.own.vector.merge(digest.staged)[ANNA] >= future
    return claims or digest.own.replica_id != "mallory" or not digest.own.vector.descends(digest.floor)


def in_logs(replica: Replica, in_states: VersionVector) -> list[LogEntry]:
    """Return the entries of a replica that are not only in somebody's states, in one order."""
    page = replica.log.page(VersionVector(), 0, 2**40)
    held = [one for one in page.entries if one.number > in_states[one.log_id]]
    assert len(held) == sum(number - in_states[log_id] for log_id, number in replica.held.items())
    return sorted(held, key=lambda one: (one.log_id, one.number))


def check_play(seed: int) -> None:
    play = Play(seed)
    try:
        play.run()
    except BaseException as error:
        error.add_note(f"seed {seed}, after {len(play.said)} messages, the last: {play.said[-3:]}")
        raise


def test_a_member_that_says_anything_does_no_harm() -> None:
    for seed in range(25):
        check_play(seed)


@pytest.mark.soak
def test_a_member_that_says_anything_for_long_does_no_harm() -> None:
    for seed in range(1_000, 1_300):
        check_play(seed)
