"""What became of effects: what is durable, what is not, what was read.

Invariant: nothing is said to be held before `persisted` said that it is durable.
"""

from collections.abc import Sequence

from calliope.stores.replica_store import LogPage
from calliope.stores.versioned import LogEntry
from crdts import VersionVector
from replication.core.effects import Effects, Install, MergeStates, Persist, Read, Receive, Remember, Stage
from replication.core.parts import Parts


class Outcomes:
    """Tells all parts what the disk has done.

    Args:
        parts: of this replica.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def persisted(self, entries: Sequence[tuple[int, LogEntry]], effects: Effects) -> None:
        """Entries are durable, in log order: acknowledge them to whoever sent or wrote some, and hand them on."""
        parts = self._parts
        before = parts.holdings.head
        logs = parts.holdings.hold(entries)
        for _, entry in entries:
            parts.scrutiny.know(entry)
        parts.membership.raise_fences(logs, effects)
        for link in parts.neighbours:
            if any(link.have[entry.log_id] >= entry.number for _, entry in entries):
                parts.gossip.acknowledge(link, effects)
            parts.anti_entropy.pass_over(link, entries, before)
            parts.anti_entropy.feed(link, effects)
        parts.tally.announce(logs, effects)

    def stored(self, now: float, receive: Receive, effects: Effects) -> None:
        """A `Receive` was carried out: go on with a snapshot, or acknowledge what was held before."""
        parts = self._parts
        parts.holdings.waited(receive.entries)
        parts.gossip.greet(now, effects)
        link = parts.neighbours.get(receive.peer)
        if receive.snapshot is not None:
            parts.takeover.done(effects)
        elif link is not None and link.told_vector != parts.holdings.vector:
            parts.gossip.acknowledge(link, effects)

    def failed(self, persist: Persist) -> None:
        """Nothing of it was written. What peers sent is asked for again."""
        parts = self._parts
        if isinstance(persist, Receive):
            parts.holdings.waited(persist.entries)
            parts.intake.failed()
        if isinstance(persist, Remember):
            parts.membership.failed(persist)
            if persist.name == "bootstrap":
                parts.target.forgot()
        if isinstance(persist, Stage):
            parts.target.give_up()
        is_of_snapshot = isinstance(persist, Receive) and persist.snapshot is not None
        if is_of_snapshot or isinstance(persist, (MergeStates, Install)):
            parts.takeover.failed()

    def installed(self, now: float, install: Install, effects: Effects) -> None:
        """Everything up to the cut of a snapshot is held; what was sent before may be known now: all begin again."""
        parts = self._parts
        parts.target.installed(install.vector, effects)
        parts.membership.raise_fences(list(install.vector), effects)
        for link in parts.neighbours:
            link.miss()
            link.stale = False
            link.compare(parts.holdings.floor)
        parts.gossip.tell_everybody(now, effects)
        parts.tally.announce_all(effects)

    def loaded(self, now: float, read: Read, page: LogPage, effects: Effects) -> None:
        """A page was read for a peer, unless it has begun again meanwhile: send what it needs of it."""
        parts = self._parts
        link = parts.neighbours.get(read.peer)
        if link is None or link.epoch != read.epoch:
            return
        if read.for_snapshot:
            parts.source.send_entries(link, read, page, effects)
            parts.anti_entropy.feed(link, effects)
        else:
            parts.anti_entropy.loaded(now, link, page, effects)

    def compacted(self, floor: VersionVector) -> None:
        """Operations up to a floor are no longer in our log."""
        self._parts.holdings.floor = floor
        for link in self._parts.neighbours:
            link.compare(floor)
