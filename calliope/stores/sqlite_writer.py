"""The thread side of writing to SQLite: one connection, one transaction a batch.

Two processes may write to one file. The write lock is taken at the beginning of each transaction; if the journal's head
is not where this process left it, another process wrote, and what is remembered about streams is read anew.

A request is checked against the heads of streams in memory before any of it is staged, so a request that fails leaves
nothing to undo and costs the others of its batch nothing. If the transaction fails, all of it is undone, everything
remembered is forgotten, and each caller gets the error.

A failed sync is never retried into success: the callers learn that the outcome is unknown, and the connection is given
up; see `sqlite_connection`.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import cast

import apsw

from calliope.errors import CalliopeError, CorruptJournalError, CorruptRecordError
from calliope.stores.commit_lane import Pending
from calliope.stores.event_rows import KnownType, checksum_seed, row_of, rows_of
from calliope.stores.high_water_mark import HighWaterMark, Marked
from calliope.stores.log_batch import LogBatch, LogWrite, Receive, ReplicatedAppend
from calliope.stores.log_state import LogState
from calliope.stores.placing import check_may_follow, placed
from calliope.stores.protocol import AppendRequest, StreamKind
from calliope.stores.record import StoredRecord, StoredType, position_of_minted_id
from calliope.stores.replicated_staging import stage_received, staged_append
from calliope.stores.sqlite_connection import WritingConnection
from calliope.stores.sqlite_errors import translated
from calliope.stores.sqlite_log import SqliteLog
from calliope.stores.sqlite_log_reader import entries_after, log_state, stream_versions
from calliope.stores.sqlite_reader import HEAD_OF_STREAM, SqliteReader
from calliope.stores.sqlite_schema import transaction
from calliope.stores.sqlite_staged import Staged
from calliope.stores.stream_versions import StreamVersions
from calliope.stores.versioned import LogEntry

STREAMS_REMEMBERED_MAX = 65_536
"""How many streams' heads are remembered; the oldest are forgotten first."""

FOREIGN_RECORDS_MAX = 1_024
"""How many records of other processes are read into the tail at once; beyond that readers read pages."""

FOREIGN_LOG_BYTES_MAX = 1024 * 1024
"""How many bytes of other processes' log entries are read into the tail at once; beyond that readers read pages."""

RECENT_ROWS_MAX = 4_096
"""How many entries the small index takes before they are folded into the large one."""

_FOLD_INDEX = """
    INSERT INTO event_by_stream SELECT stream, sequence_number, position FROM recent_event_by_stream;
    DELETE FROM recent_event_by_stream
"""
Write = Callable[[apsw.Connection], object]
"""Any other write that shares the lane, such as saving a snapshot."""


Request = AppendRequest | ReplicatedAppend | Receive | LogWrite | Write

Requests = Sequence[Pending[Request, object]]


@dataclass(slots=True)
class _Stream:
    """What the writer remembers of a stream; number 0: it has no row yet.

    `types` holds the number and the checksum seed of each event type that was written to it; `versions` how far the
    writers of a replicated one have come.
    """

    number: int
    kind: StreamKind
    sequence_number: int
    types: dict[StoredType, KnownType] = field(default_factory=dict)
    versions: StreamVersions | None = None


@dataclass(slots=True)
class Advance:
    """What became visible: records that directly follow what was visible before, or a jump over too many.

    Attributes:
        records: the new records, in order.
        jumped_to: when set, the head before `records`; what lies below it was not read.
        log: the log now, if it is another; with `entries` and `log_jumped_to` as for records.
    """

    records: list[StoredRecord]
    jumped_to: int | None = None
    log: LogState | None = None
    entries: list[tuple[int, LogEntry]] = field(default_factory=list)
    log_jumped_to: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is new."""
        return not self.records and self.jumped_to is None and self.log is None


class SqliteWriter:
    """Commits batches of requests. Every method runs on the commit lane's thread.

    Args:
        storage: the connection that writes.
        mark: where it is remembered what was acknowledged; None when durability is relaxed.
        held: what the journal holds now.

    Attributes:
        journal_id: the journal's id, as in the file.
        head: the highest position.
        log: the log as it is committed.
    """

    def __init__(
        self,
        storage: WritingConnection,
        mark: HighWaterMark | None,
        held: Marked,
    ) -> None:
        self._storage = storage
        self.journal_id = held.journal_id
        self._mark = mark
        self.head = held.position
        self._recent_rows = held.position  # at most
        self._connection = storage.readable()
        self._path = self._connection.filename
        self._data_version: object = None  # so that the first look looks
        self._forget()
        with transaction(self._connection, "DEFERRED"):
            self._other_writes = self._stored_other_writes()
            self.log = log_state(self._connection)

    def commit(self, batch: Requests) -> Advance:
        """Commit a batch in one transaction; set each request's reply or error.

        Returns:
            What readers may see now. After an error nothing is new.
        """
        visible = self.head
        try:
            self._use(self._storage.writable())
            with transaction(self._connection):
                self._forget_oldest()
                advance, other_writes = self._catch_up()
                log = advance.log or self.log
                tables = SqliteLog(self._connection, self._log_numbers)
                staged = Staged(LogBatch(log, tables), tables)
                for pending in batch:
                    self._stage(pending, staged)
                staged.insert(self._connection)
                self._fold_index(len(staged.rows))
                log_salts = self._storage.log_salts()
        except Exception as error:
            self._fail(batch, error, visible)
            return Advance([])
        self._other_writes = staged.other_writes or other_writes
        if staged.other_writes and staged.log.state != log:
            advance.log = staged.log.state
            advance.entries += staged.log.entries
        self.log = advance.log or self.log
        if staged.records or staged.other_writes:
            self._remember_acknowledged(log_salts)
        advance.records += staged.records
        return advance

    def poll(self) -> Advance:
        """Return what other processes wrote since the last look.

        Raises:
            apsw.Error, OSError, CorruptJournalError: it cannot be read; the next look begins where this one did.
        """
        self._use(self._storage.readable())
        version = self._connection.pragma("data_version")
        if version == self._data_version:
            return Advance([])
        visible = self.head
        try:
            with transaction(self._connection, "DEFERRED"):
                advance, self._other_writes = self._catch_up()
        except BaseException:
            self.head = visible
            raise
        self._data_version = version
        self.log = advance.log or self.log
        return advance

    def close(self) -> None:
        """Close the connection and the mark."""
        self._storage.close()
        if self._mark is not None:
            self._mark.close()

    def _use(self, connection: apsw.Connection) -> None:
        if connection is not self._connection:
            self._connection = connection
            self._data_version = None  # so that the first look looks
            self._forget()

    def _remember_acknowledged(self, log_salts: bytes) -> None:
        if self._mark is not None:
            log = self._storage.log_after_commit(log_salts)
            with suppress(OSError):  # what was written is durable; an older mark only notices less
                self._mark.write(self.journal_id, self.head, self._other_writes, *log)

    def _forget(self) -> None:
        """Remember nothing of the tables, whose numbers a rolled back transaction gives again."""
        self._reader = SqliteReader(self._connection)
        self._streams: dict[StreamKind, dict[str, _Stream]] = {"plain": {}, "replicated": {}}
        self._log_numbers: dict[str, int] = {}
        self._types: dict[StoredType, int] = {}

    def _fold_index(self, new_rows: int) -> None:
        self._recent_rows += new_rows
        if self._recent_rows >= RECENT_ROWS_MAX:
            self._connection.execute(_FOLD_INDEX)
            self._recent_rows = 0

    def _forget_oldest(self) -> None:
        """Keep memory bounded; only between transactions, when all that is remembered is in the tables too."""
        for kind, streams in self._streams.items():
            if len(streams) > STREAMS_REMEMBERED_MAX:
                self._streams[kind] = dict(islice(streams.items(), STREAMS_REMEMBERED_MAX // 2, None))

    def _catch_up(self) -> tuple[Advance, int]:
        """Take note of what other processes wrote; the transaction is open already.

        Returns:
            What is new, and how often something other than plain events was written.
        """
        other_writes = self._stored_other_writes()
        advance = self._catch_up_on_events()
        if other_writes != self._other_writes:
            self._catch_up_on_log(advance)
        return advance, other_writes

    def _catch_up_on_log(self, advance: Advance) -> None:
        log = log_state(self._connection)
        if log == self.log:
            return
        advance.log = log
        if log.position > self.log.position:
            entries = entries_after(self._connection, self.log.position, FOREIGN_LOG_BYTES_MAX)
            advance.entries = entries or []
            if not entries or entries[-1][0] < log.position:
                advance.entries, advance.log_jumped_to = [], log.position

    def _stored_other_writes(self) -> int:
        return cast(int, self._connection.execute("SELECT other_writes FROM meta").get)

    def _catch_up_on_events(self) -> Advance:
        head = self._reader.head()
        if head == self.head:
            return Advance([])
        if head < self.head:
            raise CorruptJournalError(f"position {self.head} was acknowledged, but the journal ends at {head}")
        self._forget()
        jumped_to = head - FOREIGN_RECORDS_MAX if head - self.head > FOREIGN_RECORDS_MAX else None
        try:
            records = self._reader.log(self.head if jumped_to is None else jumped_to, FOREIGN_RECORDS_MAX)
        except CorruptRecordError:
            records = []
        if not records or records[-1].position < head:  # too large for the tail, or those who read meet the damage
            records, jumped_to = [], head
        self.head = head
        return Advance(records, jumped_to)

    def _fail(self, batch: Requests, error: Exception, visible: int) -> None:
        """Undo the whole batch, also what was refused in it: that may have been because of others in it."""
        self._forget()
        self.head = visible
        for pending in batch:
            pending.error = translated(error, self._path)
        if not isinstance(error, (apsw.FullError, apsw.BusyError)):
            self._storage.give_up()

    def _stage(self, pending: Pending[Request, object], staged: Staged) -> None:
        request = pending.request
        try:
            if isinstance(request, AppendRequest):
                pending.reply = self._staged_append(request, staged)
                return
            if isinstance(request, ReplicatedAppend):
                pending.reply = staged_append(request, self, staged)
            elif isinstance(request, Receive):
                stage_received(request, self, staged)
            elif isinstance(request, LogWrite):
                pending.reply = request.write(staged.log)
            else:
                pending.reply = request(self._connection)
            staged.other_write_count += 1
        except (CalliopeError, ValueError) as error:
            pending.error = error

    def _staged_append(self, request: AppendRequest, staged: Staged) -> list[StoredRecord]:
        """Check a request, and stage its rows if it may be written; nothing is staged of one that may not."""
        kind = request.kind
        stream = self.stream(request.stream_id, kind)
        if request.event_id is not None and stream.number and stream.kind == kind == "plain":
            earlier = self._written_before(request, request.event_id, stream, staged)
            if earlier is not None:
                return earlier
        check_may_follow(request, stream.kind, stream.sequence_number)
        if kind != "plain":
            raise ValueError("what is written to a replicated stream must say who writes it: use append_replicated")
        records = self.stage_events(request, stream, staged)
        if request.event_id is not None:
            staged.named[stream.number, request.event_id] = records
        return records

    def versions(self, stream: _Stream) -> StreamVersions:
        """Return how far the writers of a stream have come; see `StreamTables`."""
        if stream.versions is None:
            stream.versions = stream_versions(self._connection, stream.number)
        return stream.versions

    def stored_records(self, stream_id: str, after: int, limit: int) -> Sequence[StoredRecord]:
        """Return stored records of a replicated stream; see `StreamTables`."""
        return self._reader.stream_page_now(stream_id, after, limit, "replicated").records

    def stage_events(self, request: AppendRequest, stream: _Stream, staged: Staged) -> list[StoredRecord]:
        """Give events their places, and stage the rows that keep them; see `StreamTables`."""
        if stream.number == 0:
            self._create(request.stream_id, stream)
        stream_id = request.stream_id
        records = placed(request, self.head, stream.sequence_number)
        if len(records) == 1:
            (record,) = records
            known = stream.types.get(record.type) or self._known(record.type, stream_id, stream)
            staged.add(row_of(record, stream.number, known), record.attributes.tags)
        else:
            for row, tags in rows_of(records, stream.number, lambda each: self._known(each, stream_id, stream)):
                staged.add(row, tags)
        self.head, stream.sequence_number = records[-1].position, records[-1].sequence_number
        staged.records += records
        return records

    def _known(self, stored_type: StoredType, stream_id: str, stream: _Stream) -> KnownType:
        known = stream.types.get(stored_type)
        if known is None:
            known = stream.types[stored_type] = self._type_number(stored_type), checksum_seed(stream_id, stored_type)
        return known

    def stream(self, stream_id: str, kind: StreamKind) -> _Stream:
        """Return a stream of a kind; if there is none, the one of the other kind, or a new one."""
        return self._streams[kind].get(stream_id) or self._stored_stream(stream_id, kind)

    def new_stream(self, kind: StreamKind) -> _Stream:
        """Return a stream that is not there yet."""
        return _Stream(0, kind, 0)

    def _stored_stream(self, stream_id: str, kind: StreamKind) -> _Stream:
        row = self._connection.execute(
            f"SELECT id, kind, {HEAD_OF_STREAM} FROM stream WHERE stream_id = ? ORDER BY kind = ? DESC LIMIT 1",
            (stream_id, kind),
        ).fetchone()
        if row is None:
            return _Stream(0, kind, 0)
        stream = _Stream(*row)
        if stream.kind == kind:
            self._streams[kind][stream_id] = stream
        return stream

    def _create(self, stream_id: str, stream: _Stream) -> None:
        self._connection.execute("INSERT INTO stream (stream_id, kind) VALUES (?, ?)", (stream_id, stream.kind))
        stream.number = self._connection.last_insert_rowid()
        self._streams[stream.kind][stream_id] = stream

    def _type_number(self, stored_type: StoredType) -> int:
        number = self._types.get(stored_type)
        if number is None:
            row = self._connection.execute(
                "SELECT id FROM event_type WHERE name = ? AND schema_version = ?", stored_type
            ).fetchone()
            if row is None:
                self._connection.execute("INSERT INTO event_type (name, schema_version) VALUES (?, ?)", stored_type)
                row = (self._connection.last_insert_rowid(),)
            number = self._types[stored_type] = cast(int, row[0])
        return number

    def _written_before(
        self, request: AppendRequest, event_id: str, stream: _Stream, staged: Staged
    ) -> list[StoredRecord] | None:
        """Return the records of the first time a request was written, or None if it is new."""
        records = self.named(event_id, stream, staged)
        if records is not None:
            return records
        position = position_of_minted_id(event_id, self.journal_id.hex())
        stored_through = self.head - len(staged.records)
        if position is None or position > stored_through:
            return None
        (record,) = self._reader.log(position - 1, 1)
        minted = (record.stream_id, record.kind, record.attributes.event_id)
        return [record] if minted == (request.stream_id, "plain", None) else None

    def named(self, event_id: str, stream: _Stream, staged: Staged) -> list[StoredRecord] | None:
        """Return the records of the request that an event id names in a stream, or None."""
        records = staged.named.get((stream.number, event_id))
        if records is not None:
            return records
        row = self._connection.execute(
            "SELECT position, event_count FROM event_key WHERE stream = ? AND event_id = ?",
            (stream.number, event_id),
        ).fetchone()
        return None if row is None else self._log(cast(int, row[0]), cast(int, row[1]))

    def _log(self, position: int, count: int) -> list[StoredRecord]:
        records: list[StoredRecord] = []
        while len(records) < count:
            records += self._reader.log(position - 1 + len(records), count - len(records))
        return records
