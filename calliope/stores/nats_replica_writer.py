"""Writing the log of a replica to JetStream: one commit at a time, by any number of processes.

1. The log's last commit is looked at. If another process made it, it is carried out, in case that one did not come so
   far (`nats_redo`), and what is remembered is forgotten.
2. Requests are checked and staged, as in every store. One that fails costs the others of its batch nothing.
3. What is staged is one commit (`nats_commit`), which is stored only behind the last one. If another process was
   faster, all is decided anew. When it is stored, all of it is durable.
4. It is carried out, and then the callers go on.

An acknowledgement may be lost. Each commit has a name and a number, so who finds the next one finds out whether his own
was stored. If no server answers, the callers learn that the outcome is unknown; the next one who writes finds out.

It decides in a thread of its own, that of the commit lane, and asks the thread that speaks with NATS.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from random import uniform

import msgspec

from calliope.errors import (
    CalliopeError,
    CorruptJournalError,
    ExpectedVersionError,
    JournalBusyError,
    LogEntryError,
    ReplicaIdInUseError,
    StorageError,
    StorageFullError,
    StreamKindError,
)
from calliope.stores.commit_lane import Pending
from calliope.stores.log_batch import LogBatch, Receive, ReplicatedAppend
from calliope.stores.nats_address import NatsAddress
from calliope.stores.nats_arrivals import Arrivals
from calliope.stores.nats_commit import Commit, fields_of, new_name
from calliope.stores.nats_commits import NOTHING_STORED, NatsCommits, StoredCommit
from calliope.stores.nats_connection import Pauses
from calliope.stores.nats_crossing import NatsThread
from calliope.stores.nats_errors import NoAnswerError, translated
from calliope.stores.nats_lease import taken_over
from calliope.stores.nats_message import sequence_of
from calliope.stores.nats_redo import Redo
from calliope.stores.nats_replicated import NatsReplicated, Staged
from calliope.stores.record import StoredRecord
from calliope.stores.replica_backed import LogRequest
from calliope.stores.replica_store import Appended
from calliope.stores.replicated_staging import stage_received, staged_append
from calliope.stores.versioned import LogEntry

FOREIGN_LOG_BYTES_MAX = 1024 * 1024
"""How many bytes of other processes' log entries are read into the tail at once; beyond that readers read pages."""

LOOK_SECONDS = 1.0
"""How long a look at the log may take that nobody waits for."""

OVERTAKEN_SECONDS = 0.002
"""How long a writer waits at most before he tries again, when another one was faster."""

ENTRIES_REMEMBERED_MAX = 256
"""How many entries are remembered, so that those that are sent again are compared without asking."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A request of a node: name it as the holder of the journal; see `nats_lease`."""

    holder: str


@dataclass(frozen=True, slots=True)
class Learn:
    """A request to learn how the log stands, before something is read."""


Request = LogRequest | Hold | Learn
Requests = Sequence[Pending[Request, object]]


@dataclass(slots=True)
class LogAdvance:
    """What became visible of the log.

    Attributes:
        head: the last commit.
        entries: new entries that follow one another, with their log positions.
        jumped_to: when set, the log position before `entries`; what lies below it was not read.
    """

    head: StoredCommit
    entries: list[tuple[int, LogEntry]] = field(default_factory=list)
    jumped_to: int | None = None


class NatsReplicaWriter:
    """Commits batches of requests, on the commit lane's thread.

    Args:
        thread: who speaks with NATS.
        address: where the journal is.
        commits: the log.
        redo: carries commits out.
        streams: the replicated streams.
        arrivals: knows what was published to readers.
        say: tells other processes that there is something new; called in the thread that speaks with NATS.

    Attributes:
        head: the last commit that this writer knows of; it is carried out.
        is_open: whether it knows how the log stands.
    """

    def __init__(
        self,
        thread: NatsThread,
        address: NatsAddress,
        commits: NatsCommits,
        redo: Redo,
        streams: NatsReplicated,
        arrivals: Arrivals,
        say: Callable[[], None],
    ) -> None:
        self.head = NOTHING_STORED
        self._thread = thread
        self._address = address
        self._commits = commits
        self._redo = redo
        self._streams = streams
        self._arrivals = arrivals
        self._say = say
        self._holder = ""
        self.is_open = False
        self._in_doubt = False
        self._held: dict[tuple[str, int], LogEntry] = {}

    def commit(self, batch: Requests) -> LogAdvance:
        """Commit a batch; set each request's reply or error.

        Returns:
            What readers may see now. After an error nothing of the batch is new.
        """
        advance = LogAdvance(self.head)
        self._in_doubt = False
        self._streams.begin()
        pauses = Pauses(self._address.timeout_seconds)
        try:
            while not self._attempt(batch, advance, pauses):
                time.sleep(uniform(0.0, OVERTAKEN_SECONDS))  # so that it is not always the same one
        except Exception as error:
            self._forget()
            for pending in batch:
                if pending.error is None:
                    pending.error = translated(self._in_words(error), self._address.shown)
        return advance

    def look(self) -> LogAdvance | None:
        """Return what others have added to the log; None: nothing, or it cannot be told now."""
        before, advance = self.head, LogAdvance(self.head)
        with suppress(CalliopeError, NoAnswerError, TimeoutError):  # who reads or writes meets it himself
            if self._thread.run(self._last_seen()) != before.last:
                self._catch_up(advance, for_reading=True)
        return None if self.head is before else advance

    # The log as it is stored; see `LogTables`.

    def entry(self, log_id: str, number: int) -> LogEntry | None:
        """Return an entry that is held, or None if it is in states only."""
        found = self._held.get((log_id, number))
        if found is not None:
            return found
        at_least = self._commits.first_that(lambda commit: commit.fields.vector.get(log_id, 0) >= number, self.head)
        stored = self._thread.run(at_least)
        self._remember([] if stored is None else stored.commit.entries)
        return self._held.get((log_id, number))

    def delete_operations(self, after: int, through: int) -> dict[str, int]:
        """Return the last number of each log of operations at some log positions; they are removed later."""
        numbers: dict[str, int] = {}
        for position, entry in self._thread.run(self._commits.entries(after, through, self.head)):
            if after < position <= through and entry.kind == "operations":
                numbers[entry.log_id] = max(entry.number, numbers.get(entry.log_id, 0))
        return numbers

    def _attempt(self, batch: Requests, advance: LogAdvance, pauses: Pauses) -> bool:
        """Commit a batch behind the last commit; tell whether that one was the last one still."""
        self._in_doubt = False
        self._catch_up(advance, for_reading=all(isinstance(pending.request, Learn) for pending in batch))
        self._streams.prepare([pending.request for pending in batch])
        staged = Staged(LogBatch(self.head.commit.state, self), self.head.commit.holder)
        for pending in batch:
            self._stage(pending, staged)
        commit = self._commit_of(staged)
        if commit is None:
            return True
        self._in_doubt = True
        stored = self._thread.run(self._stored(commit, pauses))
        if stored is None:
            self._forget()
            if pauses.over:
                self._in_doubt = False
                raise StorageError(f"others write to {self._address.shown} all the time; nothing was written")
            return False
        try:
            self._finish(batch, stored, advance)
        except (CalliopeError, NoAnswerError) as error:
            reason = "there is no room left" if isinstance(error, StorageFullError) else error
            raise StorageError(
                f"{self._address.shown}: what was being written is in the replica's log, but not in its streams yet"
                f" ({reason}); whoever writes next brings it there, and the same event id may be sent again"
            ) from error
        return True

    async def _stored(self, commit: Commit, pauses: Pauses) -> StoredCommit | None:
        """Store a commit behind the head; return None if another one is there.

        Raises:
            NoAnswerError: what became of it cannot be told.
        """
        while True:
            stored = await self._commits.publish(commit, self.head, pauses)
            if stored is not None:
                return stored
            following = await self._commits.following(self.head.last)
            if following and following[0].commit.number != commit.number:
                raise NoAnswerError("others have gone on, and what they followed is forgotten", was_sent=True)
            if following:
                return following[0] if following[0].commit.name == commit.name else None
            if pauses.over:
                raise NoAnswerError("another message is under way", was_sent=True)
            await pauses.pause()  # it, or another one, is on its way

    def _finish(self, batch: Requests, stored: StoredCommit, advance: LogAdvance) -> None:
        """Carry out a commit that is stored, and say in replies where its events are."""
        commit = stored.commit
        versions = self._streams.versions_of(commit.first_numbers)
        records = self._thread.run(self._redo.carry_out(commit, versions))
        self._go_on(stored, commit.placed_entries, advance)
        self._thread.loop.call_soon_threadsafe(self._say)
        positions = {(record.stream_id, record.sequence_number): record.position for record in records}
        for pending in batch:
            if pending.error is None and isinstance(pending.reply, Appended):
                pending.reply = self._in_place(pending.reply, positions)
        if positions:
            self._thread.run(self._published(max(positions.values())))

    async def _last_seen(self) -> int:
        """Return where the log ends, if a server says so at once: callers wait behind this."""
        async with asyncio.timeout(LOOK_SECONDS):
            return (await self._commits.head()).last

    def _catch_up(self, advance: LogAdvance, *, for_reading: bool) -> None:
        """Learn how the log stands; carry the last commit out if another process made it.

        If there is no room to do so, who reads is shown what was before it.
        """
        head, known = self._thread.run(self._head_now()), self.head
        if head.last == known.last:
            self.is_open = True
            return
        self._forget()
        try:
            self._thread.run(self._redo.carry_out(head.commit, {}))
        except StorageFullError:
            if not for_reading:
                raise
            head = self._thread.run(self._commits.before(head))
        position, end = known.commit.fields.position, head.commit.fields.position
        entries: list[tuple[int, LogEntry]] = []
        if self.is_open and end > position:
            entries = self._thread.run(self._commits.entries(position, end, head, FOREIGN_LOG_BYTES_MAX, known.last))
        if [place for place, _ in entries] != list(range(position + 1, end + 1)):
            advance.entries, advance.jumped_to, entries = [], end, []
        self._go_on(head, entries, advance)
        self.is_open = True

    async def _head_now(self) -> StoredCommit:
        """Return the last commit; a server that is behind is asked again.

        Raises:
            CorruptJournalError: commits that were acknowledged are gone.
        """
        pauses = Pauses(self._address.timeout_seconds)
        while (head := await self._commits.head()).commit.number < self.head.commit.number:
            if pauses.over:
                raise CorruptJournalError(
                    f"commit {self.head.commit.number} of the replica's log was acknowledged, but it ends with"
                    f" {head.commit.number}"
                )
            await pauses.pause()
        return head

    def _go_on(self, head: StoredCommit, entries: list[tuple[int, LogEntry]], advance: LogAdvance) -> None:
        self.head = advance.head = head
        advance.entries += entries
        self._remember([entry for _, entry in entries])

    def _stage(self, pending: Pending[Request, object], staged: Staged) -> None:
        """Stage a request, or set its error; what is wrong with more than the request is raised."""
        request = pending.request
        pending.reply = pending.error = None
        try:
            if isinstance(request, ReplicatedAppend):
                pending.reply = staged_append(request, self._streams, staged)
            elif isinstance(request, Hold):
                staged.holder = self._holder = request.holder
            elif isinstance(request, Learn):
                pending.reply = None
            elif self._holder and staged.holder != self._holder:
                raise taken_over(self._address)
            elif isinstance(request, Receive):
                stage_received(request, self._streams, staged, self._streams.changes_of)
            else:
                pending.reply = request.write(staged.log)
        except _REFUSALS as error:
            pending.error = error

    def _commit_of(self, staged: Staged) -> Commit | None:
        """Return what is staged as a commit, or None if there is nothing."""
        log, before = staged.log, self.head.commit
        log.finish()
        if (log.state, staged.holder) == (before.state, before.holder) and not (log.states or log.facts):
            return None
        return Commit(
            before.number + 1,
            new_name(),
            fields_of(log.state),
            staged.holder,
            [entry for _, entry in log.entries],
            staged.first_numbers,
            staged.version_changes,
            list(log.states.values()),
            log.facts,
        )

    def _in_place(self, appended: Appended, positions: dict[tuple[str, int], int]) -> Appended:
        """Return a reply whose records have the positions that the server gave them."""

        def placed(record: StoredRecord) -> StoredRecord:
            if record.position >= 0:
                return record
            stream_id, number = record.stream_id, record.sequence_number
            if (stream_id, number) not in positions:
                for each in self._streams.stored_records(stream_id, number - 1, len(appended.records)):
                    positions[stream_id, each.sequence_number] = each.position
            return msgspec.structs.replace(record, position=positions[stream_id, number])

        records, concurrent = list(map(placed, appended.records)), list(map(placed, appended.concurrent))
        return replace(appended, records=records, concurrent=concurrent)

    async def _published(self, position: int) -> None:
        try:
            async with asyncio.timeout(self._address.timeout_seconds):
                await self._arrivals.published(sequence_of(position))
        except TimeoutError:
            raise NoAnswerError("what was written cannot be read", was_sent=True) from None

    def _remember(self, entries: Sequence[LogEntry]) -> None:
        self._held |= {(entry.log_id, entry.number): entry for entry in entries}
        if len(self._held) > ENTRIES_REMEMBERED_MAX:
            self._held = dict(islice(self._held.items(), len(self._held) - ENTRIES_REMEMBERED_MAX // 2, None))

    def _forget(self) -> None:
        self._streams.forget()
        self._redo.forget()

    def _in_words(self, error: Exception) -> Exception:
        """Return an error that says what became of the request."""
        if isinstance(error, NoAnswerError):
            return NoAnswerError(str(error), was_sent=error.was_sent and self._in_doubt)
        return error


_REFUSALS = (
    ExpectedVersionError,
    JournalBusyError,
    LogEntryError,
    ReplicaIdInUseError,
    StreamKindError,
    ValueError,
)
"""What is wrong with one request."""
