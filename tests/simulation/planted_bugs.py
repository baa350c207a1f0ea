"""Bugs that were planted on purpose: each breaks one thing in a core or a disk, as somebody could by mistake."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from calliope.errors import StorageFullError
from crdts import VersionVector
from replication.core.effects import Effects, MergeStates, Receive, Send, Stage, UseLog
from replication.core.messages import Acknowledgement, Answer, Digest, Entries, SnapshotChunk
from replication.core.replica import ReplicaCore
from replication.testing import Disk, Plan, draw, draw_newcomers


@dataclass(frozen=True)
class PlantedBug:
    """A bug, and the promises by whose breach it must be noticed: the first is the one meant.

    Attributes:
        name: what is wrong.
        breaks: the promises.
        core_type: the protocol with the bug, if it is there.
        disk_type: the disk with the bug, if it is there.
        draw_plan: under which plans it shows.
        first_seed: the seed at which to begin, for a bug that shows seldom.
    """

    name: str
    breaks: tuple[str, ...]
    core_type: Callable[..., ReplicaCore] = ReplicaCore
    disk_type: Callable[..., Disk] = Disk
    draw_plan: Callable[[int], Plan] = draw
    first_seed: int = 0


PLANTED: list[PlantedBug] = []


def plant(name, *breaks, **where):
    """Add a core or a disk to the planted bugs."""

    def add(planted):
        kind = "disk_type" if issubclass(planted, Disk) else "core_type"
        PLANTED.append(PlantedBug(name, breaks, **{kind: planted}, **where))
        return planted

    return add


# Acknowledgements and durability --------------------------------------------------------------------------------------


@plant("an acknowledgement lost", "convergence")
class LosesAcknowledgements(ReplicaCore):
    """Notes that others hold more, and does not tell those who wait for it."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._parts.tally.announce = lambda log_ids, effects: None


@plant("acknowledged before it is durable", "durability")
class AcknowledgesEarly(ReplicaCore):
    """Acknowledges what it has only queued for the disk."""

    def receive(self, now, peer, message):
        effects = super().receive(now, peer, message)
        if isinstance(message, Entries) and effects.persist:
            held = self.vector.merge(VersionVector({entry.log_id: entry.number for entry in message.entries}))
            effects.send.append(Send(peer, Acknowledgement(held)))
            effects.persist, late = [], effects.persist
            self._late = [*getattr(self, "_late", []), *late]
        return effects

    def tick(self, now):
        effects = super().tick(now)
        effects.persist += getattr(self, "_late", [])
        self._late = []
        return effects


@plant("a clock advanced early", "durability")
class AdvancesEarly(ReplicaCore):
    """Counts entries as held when they arrive."""

    def receive(self, now, peer, message):
        effects = super().receive(now, peer, message)
        for persist in effects.persist:
            if isinstance(persist, Receive):
                self._parts.holdings.hold([(self._parts.holdings.head, entry) for entry in persist.entries])
        return effects


@plant("a digest off by one", "durability")
class CountsOneMore(ReplicaCore):
    """Says in each digest that it holds one more entry of its first log than it does."""

    def tick(self, now):
        effects = super().tick(now)
        effects.send = [
            Send(send.peer, _with_one_more(send.message)) if isinstance(send.message, Digest) else send
            for send in effects.send
        ]
        return effects


def _with_one_more(digest):
    counters = digest.own.vector.to_dict()
    more = VersionVector({log_id: number + (log_id == min(counters)) for log_id, number in counters.items()})
    return msgspec.structs.replace(digest, own=msgspec.structs.replace(digest.own, vector=more))


@plant("an fsync left out", "durability")
class DoesNotSync(Disk):
    """Syncs every third commit only."""

    def sync(self):
        if self.mark() % 3 == 0:
            super().sync()


@plant("a commit torn apart", "durability", "exactly once", "peace")
class TearsCommits(Disk):
    """Stores the first entry of what it says that it had no room for."""

    def commit(self, commit):
        if self.is_full and isinstance(commit, Receive):
            self.is_full = False
            super().commit(replace(commit, entries=commit.entries[:1]))
            self.is_full = True
            raise StorageFullError("the simulated disk is full")
        return super().commit(commit)


# Numbers --------------------------------------------------------------------------------------------------------------


@plant("a number reused after a rollback", "peace", "numbers")
class GoesOnInItsOldLog(ReplicaCore):
    """Trusts its disk."""

    def __init__(self, *arguments, log_id, fresh_log_id, **options):
        super().__init__(*arguments, log_id=log_id, fresh_log_id=log_id or fresh_log_id, **options)


@plant("a log taken back before everybody was asked", "numbers", "peace")
class AsksOnlyOne(ReplicaCore):
    """Goes back to its old log as soon as one member knows no more of it."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        decide = self._parts.own_log.decide
        self._parts.own_log.decide = lambda told, effects, is_everybody: decide(told[:1], effects, is_everybody=True)


@plant("a number left out", "exactly once", "peace")
class SkipsNumbers(Disk):
    """Numbers its own entries 1, 2, 3, 4, 6."""

    def _add(self, entries):
        own = [entry for entry in entries if entry.log_id == self.log_id]
        if len(entries) == 1 and own and own[0].number == 5:
            entries = [msgspec.structs.replace(own[0], number=6) if _is_struct(own[0]) else _renumbered(own[0], 6)]
        return super()._add(entries)


def _is_struct(entry):
    return isinstance(entry, msgspec.Struct)


def _renumbered(entry, number):
    return replace(entry, number=number)


@plant("a duplicate applied", "exactly once", "convergence")
class AppliesTwice(Disk):
    """Lets the seventh entry of each log take effect twice."""

    def take_effect(self, entry):
        super().take_effect(entry)
        if entry.number == 7 and entry.kind == "operations":
            super().take_effect(entry)


@plant("an operation not applied", "convergence")
class ForgetsToApply(Disk):
    """Stores the third entry of each log, and does not let it take effect: all replicas lose it alike."""

    def take_effect(self, entry):
        if entry.number != 3:
            super().take_effect(entry)


# Order ----------------------------------------------------------------------------------------------------------------


@plant("an entry relayed before its past", "causal delivery")
class PassesOverTheMiddle(ReplicaCore):
    """Leaves to nearer ones also what comes before something that it sends itself."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        anti_entropy = self._parts.anti_entropy
        choose = anti_entropy._chosen

        def choose_some(link, page):
            kept = [entry for entry in page.entries if not anti_entropy._is_left(link, entry)]
            return choose(
                link, page._replace(entries=kept) if hasattr(page, "_replace") else replace(page, entries=kept)
            )

        anti_entropy._chosen = choose_some


@plant("what was sent before a new beginning is taken", "causal delivery", "peace")
class TakesWhatIsOld(ReplicaCore):
    """Does not look to which beginning entries belong."""

    def receive(self, now, peer, message):
        if isinstance(message, Entries):
            message = msgspec.structs.replace(message, beginning=1 << 40)
        return super().receive(now, peer, message)


@plant("a gap taken", "peace", "causal delivery", "convergence")
class TakesGaps(ReplicaCore):
    """Drops the second of several entries, and hands the others to the disk."""

    def receive(self, now, peer, message):
        effects = super().receive(now, peer, message)
        effects.persist = [
            replace(persist, entries=persist.entries[:1] + persist.entries[2:])
            if isinstance(persist, Receive) and len(persist.entries) > 2
            else persist
            for persist in effects.persist
        ]
        return effects


# Quorums and stability ------------------------------------------------------------------------------------------------


@plant("a quorum counted with oneself twice", "quorums")
class CountsItselfTwice(ReplicaCore):
    """Takes one other's word for a quorum of three."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        tally = self._parts.tally
        numbers = tally._numbers
        tally._numbers = lambda log_id: sorted([*numbers(log_id), self.vector[log_id]], reverse=True)


@plant("silence counted as agreement", "quorums")
class CountsTheSilent(ReplicaCore):
    """Counts a member that was never heard as holding whatever we hold."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        members, tally = self._parts.members, self._parts.tally

        def numbers(log_id):
            held = [members.get(replica_id).vector for replica_id in members]
            vectors = [vector or self.vector for vector in held]
            return sorted([vector[log_id] for vector in [self.vector, *vectors]], reverse=True)

        tally._numbers = numbers


@plant("a read that does not wait for what was answered", "quorums")
class ReadsEarly(ReplicaCore):
    """Counts answers, and does not fetch what they name."""

    def receive(self, now, peer, message):
        if isinstance(message, Answer) and message.asker == self.replica_id:
            message = msgspec.structs.replace(message, vector=VersionVector())
        return super().receive(now, peer, message)


@plant("others said to hold what we hold", "quorums", "durability")
class SpeaksForOthers(ReplicaCore):
    """Passes on what others hold with its own vector in it."""

    def tick(self, now):
        effects = super().tick(now)
        for place, send in enumerate(effects.send):
            if isinstance(send.message, Digest) and send.message.claims:
                claims = tuple([msgspec.structs.replace(claim, vector=self.vector) for claim in send.message.claims])
                effects.send[place] = Send(send.peer, msgspec.structs.replace(send.message, claims=claims))
        return effects


@plant("a stable version too high", "stability")
class TakesItsOwnForStable(ReplicaCore):
    """Takes for stable what it holds itself."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._parts.members.stable = lambda ours: ours


@plant("a silent member left out of the stable version", "stability")
class ForgetsTheSilent(ReplicaCore):
    """Takes for stable what those hold who have been heard from lately."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        members = self._parts.members

        def stable(ours):
            for member in map(members.get, members):
                if member.state == "alive":
                    ours = ours.meet(member.vector)
            return ours

        members.stable = stable


# Snapshots and fences -------------------------------------------------------------------------------------------------


@plant("a snapshot half taken over", "convergence", "causal delivery", "exactly once")
class TakesTheFirstChunk(ReplicaCore):
    """Takes the first chunk of a snapshot for the whole."""

    def receive(self, now, peer, message):
        if isinstance(message, SnapshotChunk):
            message = msgspec.structs.replace(message, following=None)
        return super().receive(now, peer, message)


@plant("a key left out of a snapshot", "convergence", "exactly once")
class LeavesOutAKey(ReplicaCore):
    """Sends all states of a chunk but the last."""

    def states_loaded(self, now, read, states, after_key, held, *, complete):
        return super().states_loaded(now, read, list(states)[:-1], after_key, held, complete=complete)


@plant("states merged before all of them are there", "convergence", draw_plan=draw_newcomers, first_seed=95)
class MergesAsTheyCome(ReplicaCore):
    """Joins states into its own as soon as they are staged."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.early = []

    def staged(self, now, stage: Stage):
        effects = super().staged(now, stage)
        self.early.append(MergeStates(stage.chunk.states))
        effects.persist.append(self.early[-1])
        return effects

    def merged(self, now, merge):
        if any(merge is early for early in self.early):
            return Effects()  # it is no part of a snapshot that is being made ours
        return super().merged(now, merge)

    def failed(self, now, persist):
        if any(persist is early for early in self.early):
            return Effects()
        return super().failed(now, persist)


@plant("states said to contain no more than the cut", "causal delivery", draw_plan=draw_newcomers, first_seed=180)
class HidesWhatStatesContain(ReplicaCore):
    """Does not tell what was written between the cut and the reading of states."""

    def receive(self, now, peer, message):
        if isinstance(message, SnapshotChunk):
            message = msgspec.structs.replace(message, reach=VersionVector())
        return super().receive(now, peer, message)


@plant("a fence ignored", "fences")
class IgnoresFences(ReplicaCore):
    """Takes from third ones what a removed replica wrote, whatever it is."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._parts.members.is_fenced = lambda log_id, number: False


# Progress and bounds --------------------------------------------------------------------------------------------------


@plant("a window never given back", "convergence")
class KeepsWindows(ReplicaCore):
    """Counts what has arrived as still on its way."""

    def receive(self, now, peer, message):
        link = self._parts.neighbours.get(peer)
        before = link.byte_count if link is not None else 0
        effects = super().receive(now, peer, message)
        if link is not None:
            link.byte_count = max(before, link.byte_count)
        return effects


@plant("a window ignored", "bounds", "stability")
class IgnoresWindows(ReplicaCore):
    """Sends whatever a peer lacks at once."""

    def __init__(self, *arguments, settings, **options):
        super().__init__(*arguments, settings=replace(settings, window_bytes=1 << 40), **options)


@plant("a queue without a bound", "bounds")
class QueuesEverything(ReplicaCore):
    """Takes whatever comes, however much waits for the disk."""

    def __init__(self, *arguments, settings, **options):
        super().__init__(*arguments, settings=replace(settings, incoming_bytes=1 << 40), **options)


@plant("what was lost is never sent again", "convergence")
class NeverRepairs(ReplicaCore):
    """Sends once, and hopes."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._parts.anti_entropy.repair = lambda link, now, effects: None


@plant("only one's own entries are sent", "convergence")
class NeverRelays(ReplicaCore):
    """Leaves everything that others wrote to them."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._parts.anti_entropy._is_left = lambda link, entry: entry.log_id != self.log_id


@plant("a question answered from memory", "quorums", "convergence")
class AnswersFromMemory(ReplicaCore):
    """Answers each question with what it held when it was first asked."""

    def receive(self, now, peer, message):
        effects = super().receive(now, peer, message)
        for place, send in enumerate(effects.send):
            if isinstance(send.message, Answer) and send.message.replica_id == self.replica_id:
                self._answered = getattr(self, "_answered", send.message.vector)
                effects.send[place] = Send(send.peer, msgspec.structs.replace(send.message, vector=self._answered))
        return effects


@plant("the old log written to after all", "numbers", "peace", "durability")
class UsesTheOldLog(ReplicaCore):
    """Says that it writes to a fresh log, and has the disk write to the old one."""

    def __init__(self, *arguments, log_id, **options):
        super().__init__(*arguments, log_id=log_id, **options)
        self._old_log_id = log_id

    def start(self, now):
        effects = super().start(now)
        effects.persist = [
            UseLog(self._old_log_id or p.log_id) if isinstance(p, UseLog) else p for p in effects.persist
        ]
        return effects
