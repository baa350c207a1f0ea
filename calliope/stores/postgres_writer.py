"""The thread side of writing to PostgreSQL: one connection, one transaction a batch, one or two round trips.

A batch of events for streams that are remembered is written at once: see `postgres_at_once`. Any other, and one that
could not be written so, takes two round trips:

1. Lock the journal's row, and learn where the journal and its log end, what others added to the log, and what is not
   remembered of the batch's streams and ids.
2. Insert all rows, each table by one statement, move both ends, notify those who listen, and commit.

Several processes write to one journal. If it does not end where this one left it, another wrote, and what is
remembered about streams is read anew; what he wrote is read for the tail after the commit, without the lock. A request
is checked before any of it is staged, so one that fails costs the others of its batch nothing.

A connection may be lost in the middle of a commit, and then it is unknown whether the server committed. So each batch
has a number that is stored with it: over a new connection, which waits for the journal's lock and thereby for whatever
the lost one still does there, the number says what happened. A batch that was not committed is sent again. Only if the
server cannot be reached, or not be asked, for the address' `timeout` the callers learn that the outcome is unknown.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psycopg

from calliope.errors import CalliopeError, CorruptJournalError, StorageError
from calliope.stores.commit_lane import Pending
from calliope.stores.log_batch import LogBatch, LogWrite, Receive, ReplicatedAppend
from calliope.stores.log_state import new_log_id
from calliope.stores.postgres_address import PostgresAddress
from calliope.stores.postgres_advance import Advance, advanced
from calliope.stores.postgres_at_once import FENCE, are_known_appends, stage_appends, write_at_once
from calliope.stores.postgres_connection import AnsweringConnection
from calliope.stores.postgres_errors import is_lost, translated
from calliope.stores.postgres_lease import taken_over
from calliope.stores.postgres_log import PostgresLog, StoredLog, lineage_of
from calliope.stores.postgres_log_reader import PostgresLogReader
from calliope.stores.postgres_reader import Connection, PostgresReader
from calliope.stores.postgres_staged import Staged
from calliope.stores.postgres_streams import PostgresStreams
from calliope.stores.postgres_wanted import Wanted
from calliope.stores.protocol import AppendRequest
from calliope.stores.replica_backed import LogRequest
from calliope.stores.replicated_staging import stage_received, staged_append
from calliope.stores.versioned import replica_of

RETRY_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5)
"""The pauses between attempts to connect; the last one repeats."""

Write = Callable[[Connection], object]
"""Any other write that shares the lane, such as saving a snapshot; doing it twice does no harm."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A request of a node: name it as the holder of the journal; see `postgres_lease`."""

    holder: str


Request = AppendRequest | LogRequest | Hold | Write

Requests = Sequence[Pending[Request, object]]

_LOCK_JOURNAL = "SELECT head, streams, types FROM journal FOR UPDATE"
_BATCH = "SELECT batch FROM writer WHERE writer_id = %s"
_NOTE_BATCH = (
    "INSERT INTO writer VALUES (%s, %s, now())"
    " ON CONFLICT (writer_id) DO UPDATE SET batch = excluded.batch, committed = excluded.committed"
)
_FORGET_WRITERS = "DELETE FROM writer WHERE writer_id = %s OR committed < now() - interval '7 days'"
_MOVE_END = "UPDATE journal SET head = %s, streams = %s, types = %s"


class PostgresWriter:
    """Commits batches of requests. Every method but `give_up` runs on the commit lane's thread.

    Args:
        address: where the journal is.
        journal_id: its id.
        connection: a first connection.

    Attributes:
        writer_id: names this writer among all that have the journal open.
        head: the highest position that this writer knows of.
        log: the log as this writer knows it.
        holder: the node that this writer works for, if it is one.
    """

    def __init__(self, address: PostgresAddress, journal_id: str, connection: AnsweringConnection) -> None:
        self.writer_id = secrets.token_hex(8)
        self._address = address
        self._connection: AnsweringConnection | None = connection
        self._reader = PostgresReader(connection)
        self.log = PostgresLogReader(connection).log(StoredLog())
        self.head = self._reader.head()
        self.holder = ""
        self._lineage = lineage_of(connection)
        self._batch = 0
        self._streams = PostgresStreams(journal_id, self._reader, self.head)
        self._stream_count = self._type_count = 0
        self._in_doubt: Staged | None = None
        self._others_wrote = False
        self._closing = False

    def give_up(self) -> None:
        """Wait no longer than one attempt for a server that is gone: the journal is being closed."""
        self._closing = True

    def commit(self, batch: Requests, underway: Callable[[], None] | None = None) -> Advance:
        """Commit a batch in one transaction; set each request's reply or error.

        Args:
            batch: the requests.
            underway: called whenever nothing is left to do but to wait.

        Returns:
            What readers may see now. After an error nothing is new.
        """
        self._batch += 1
        self._in_doubt = None
        give_up_at, pauses = time.monotonic() + self._address.timeout, iter(RETRY_SECONDS)
        while True:
            asked = self._in_doubt
            try:
                connection = self._connected()
                connection.when_waiting = underway
                staged = self._written(connection, batch)
                connection.when_waiting = None
            except Exception as error:
                if underway is not None:
                    underway()  # nobody waits for it any longer than for the first attempt
                lost = is_lost(error)
                in_doubt = self._is_in_doubt(asked, lost=lost)
                self._undo(lost=lost)
                if (lost or in_doubt) and time.monotonic() < give_up_at and not self._closing:
                    time.sleep(next(pauses, RETRY_SECONDS[-1]))
                    continue
                self._fail(batch, error, in_doubt=in_doubt)
                return Advance([])
            else:
                return self._committed(staged)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.execute(_FORGET_WRITERS, (self.writer_id,))
            self._connection.close()

    def _connected(self) -> AnsweringConnection:
        if self._connection is None:
            self._connection = self._address.connect()
            self._reader = PostgresReader(self._connection)
            self._streams.use(self._reader)
            self._lineage = lineage_of(self._connection)
        return self._connection

    def _committed(self, staged: Staged) -> Advance:
        """Return what readers may see now: what others wrote before, which is read without the lock, and the batch."""
        known, others_head = self.head, staged.head - len(staged.records)
        self.head, self._stream_count, self._type_count = staged.head, staged.stream_count, staged.type_count
        self.log = staged.advance.log or self.log
        advance = staged.advance
        if others_head > known:
            self._others_wrote = True
            others = self._written_by_others(known, others_head)
            advance.records, advance.jumped_to = others.records, others.jumped_to
        else:
            self._others_wrote = False
        advance.records += staged.records
        return advance

    def _written_by_others(self, known: int, head: int) -> Advance:
        try:
            return advanced(self._reader, known, head)
        except psycopg.Error:  # the connection is lost; the next batch makes another
            return Advance([], jumped_to=head)

    def _was_committed(self, connection: Connection) -> bool:
        """Tell whether the server committed this batch, which the lost connection can do no more after this."""
        with connection.transaction():
            connection.execute(_LOCK_JOURNAL)
            row = connection.execute(_BATCH, (self.writer_id,)).fetchone()
            committed = row == (self._batch,)
            if not committed:
                connection.execute(FENCE)
        return committed

    def _is_in_doubt(self, asked: Staged | None, *, lost: bool) -> bool:
        """Tell whether a batch that failed may be committed all the same.

        Args:
            asked: what was in doubt before this attempt; if it still is, nobody could say what became of it.
            lost: whether the connection was lost.
        """
        return self._in_doubt is not None and (lost or self._in_doubt is asked)

    def _undo(self, *, lost: bool) -> None:
        self._streams.forget()
        if self._connection is None:
            return
        if not lost:
            with suppress(psycopg.Error):
                self._connection.execute("ROLLBACK")
                return
        self._connection.close()
        self._connection = None

    def _fail(self, batch: Requests, error: Exception, *, in_doubt: bool) -> None:
        for pending in batch:
            pending.reply = None
            pending.error = translated(error, self._address.shown)
            if in_doubt:
                pending.error = StorageError(
                    f"{self._address.shown} was lost during a commit ({error}); of what was being written it is unknown"
                    " whether it was written, and the same event id may be sent again"
                )

    def _written(self, connection: Connection, batch: Requests) -> Staged:
        """Write a batch and commit it, unless an earlier attempt has; return what was written."""
        if self._in_doubt is not None and self._was_committed(connection):
            return self._in_doubt
        self._in_doubt = None
        foreseen = self._foreseen(connection, batch)
        if foreseen is not None:
            connection.pgconn.consume_input()  # it raises if the connection was lost meanwhile, and nothing is in doubt
            self._in_doubt = foreseen
            if write_at_once(connection, foreseen, self.head, (self.writer_id, self._batch), self._address.channel):
                return foreseen
            self._streams.forget_streams()
            self._in_doubt = None
        staged = self._prepared(connection, batch)
        self._in_doubt = staged
        self._finish(connection, staged)
        return staged

    def _foreseen(self, connection: Connection, batch: Requests) -> Staged | None:
        """Stage a batch as if the journal ended where it was left; return None if it takes the usual way."""
        if self._others_wrote or not are_known_appends(batch, self._streams):
            return None
        self._streams.forget_oldest()
        self._streams.head = self.head
        log = PostgresLog(connection, self.log, {})
        staged = Staged(Advance([]), LogBatch(self.log.state, log), log, self._stream_count, self._type_count)
        if stage_appends(batch, self._streams, staged):
            return staged
        self._streams.forget()
        return None

    def _prepared(self, connection: Connection, batch: Requests) -> Staged:
        """Begin a transaction, take the journal's lock, and stage what may be written."""
        if self._others_wrote:  # and may do so again: then all is asked for at once
            self._streams.forget_streams()
        self._streams.forget_oldest()
        wanted = Wanted(batch, self.log)
        ((head, stream_count, type_count),) = wanted.ask(connection, ("BEGIN", _LOCK_JOURNAL), self._streams)
        if head < self.head:
            raise CorruptJournalError(f"position {self.head} was acknowledged, but the journal ends at {head}")
        advance = Advance([])
        if wanted.concerns_log:
            self._catch_up_on_log(wanted, advance)
        wanted.learn(connection, self._streams, others_wrote=head != self.head)
        self._streams.head = head
        log = advance.log or self.log
        stored = PostgresLog(connection, log, wanted.held)
        staged = Staged(advance, LogBatch(log.state, stored), stored, stream_count, type_count)
        staged.keys = wanted.keys
        if wanted.concerns_log:
            self._leave_log_of_another_lineage(log, staged.log)
        for pending in batch:
            self._stage(connection, pending, staged, wanted)
        staged.head = self._streams.head
        return staged

    def _finish(self, connection: Connection, staged: Staged) -> None:
        """Write what was staged, and commit."""
        with connection.pipeline():
            staged.insert(connection)
            log_changed = staged.insert_log(self._lineage)
            if staged.records:
                connection.execute(_MOVE_END, (staged.head, staged.stream_count, staged.type_count))
            if staged.records or log_changed:
                news = f"{self.writer_id} {staged.head}"
                connection.execute("SELECT pg_notify(%s, %s)", (self._address.channel, news))
            connection.execute(_NOTE_BATCH, (self.writer_id, self._batch))
            connection.execute("COMMIT")

    def _catch_up_on_log(self, wanted: Wanted, advance: Advance) -> None:
        log, known = wanted.log, self.log.state.position
        if log.state.position < known:
            raise CorruptJournalError(
                f"log position {known} was acknowledged, but the journal's log ends at {log.state.position}"
            )
        advance.log = log
        if log.state.position > known:
            entries = wanted.entries
            if entries and entries[-1][0] == log.state.position:
                advance.entries = entries
            else:
                advance.log_jumped_to = log.state.position

    def _leave_log_of_another_lineage(self, log: StoredLog, batch: LogBatch) -> None:
        """Begin a fresh log if the database may have gone back in time: see `postgres_log`."""
        if log.state.log_id and log.lineage and self._lineage and log.lineage != self._lineage:
            batch.use(new_log_id(replica_of(log.state.log_id)))

    def _stage(self, connection: Connection, pending: Pending[Request, object], staged: Staged, wanted: Wanted) -> None:
        request = pending.request
        pending.error = None
        try:
            if isinstance(request, AppendRequest):
                pending.reply = self._streams.stage_append(request, staged)
            elif isinstance(request, ReplicatedAppend):
                pending.reply = staged_append(request, self._streams, staged)
            elif isinstance(request, Hold):
                staged.holder = self.holder = request.holder
            elif self.holder and not callable(request) and staged.holder != self.holder:
                raise taken_over(self._address)
            elif isinstance(request, Receive):
                stage_received(request, self._streams, staged, wanted.changes_of)
            elif isinstance(request, LogWrite):
                pending.reply = request.write(staged.log)
            else:
                with connection.transaction():  # a savepoint: if it fails, the others of the batch do not
                    pending.reply = request(connection)
        except (CalliopeError, ValueError) as error:
            pending.error = error
