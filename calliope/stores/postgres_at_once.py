"""Writing a batch at once: one statement, if the journal ends where this process left it.

The usual way takes two round trips: take the lock and learn how the journal stands, then write. But a process that
writes alone knows how it stands. So it stages on the strength of that, and lets one statement find out whether it is
right, take the lock, write and commit. It writes nothing if the journal ends elsewhere; then the usual way is taken.

Where the journal ends is told by its head and by the highest number of a stream, in the row that is the lock. A server
that has to wait for that row looks at it again when it has it (READ COMMITTED;
https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED), and the rows that are written come
from the row that was moved. So nothing that is remembered is relied upon before it has proved true under the lock.

A statement may be on its way when its connection is lost, and unlike a transaction with the lock it may come to the
server later than the question whether it was committed. Whoever asks that, and hears that it was not, gives up a
number of a stream (`FENCE`): the journal then no longer ends where the statement wants it to.
"""

from collections.abc import Sequence
from typing import Any

from psycopg.errors import UniqueViolation

from calliope.errors import CalliopeError
from calliope.stores.commit_lane import Pending
from calliope.stores.postgres_rows import Connection, insert_statement
from calliope.stores.postgres_staged import EVENTS, KEYS, TAGS, Staged
from calliope.stores.postgres_streams import PostgresStreams
from calliope.stores.protocol import AppendRequest

Batch = Sequence[Pending[Any, object]]

FENCE = "UPDATE journal SET streams = streams + 1"
"""Makes void what was to be written at once and has not arrived; with the journal's lock."""

_MOVED = "moved AS (UPDATE journal SET head = %s WHERE head = %s AND streams = %s RETURNING head)"
_NOTED = (
    "noted AS (INSERT INTO writer SELECT %s, %s, now() FROM moved"
    " ON CONFLICT (writer_id) DO UPDATE SET batch = excluded.batch, committed = excluded.committed"
    " WHERE writer.batch < excluded.batch)"  # one that was given up may come later than one that did not move the head
)
_NOTIFIED = "SELECT pg_notify(%s, %s) FROM moved"


def _statement(*tables: tuple[str, ...]) -> bytes:
    """Return the statement that writes rows of these tables."""
    inserts = [f"rows_of_{table[0].split()[0]} AS ({_insert(*table)})" for table in tables]
    return f"WITH {', '.join([_MOVED, _NOTED, *inserts])} {_NOTIFIED}".encode()


def _insert(table: str, *types: str) -> str:
    return insert_statement(table, *types, given="moved").decode()


_STATEMENTS = {
    (False, False): _statement(EVENTS),
    (True, False): _statement(EVENTS, KEYS),
    (False, True): _statement(EVENTS, TAGS),
    (True, True): _statement(EVENTS, KEYS, TAGS),
}
"""The statements without and with event ids, without and with tags."""


def are_known_appends(batch: Batch, streams: PostgresStreams) -> bool:
    """Tell whether a batch is nothing but events for plain streams that are remembered."""
    requests = [pending.request for pending in batch]
    stream_ids = [
        request.stream_id for request in requests if type(request) is AppendRequest and request.kind == "plain"
    ]
    return len(stream_ids) == len(requests) and streams.remember(stream_ids)


def stage_appends(batch: Batch, streams: PostgresStreams, staged: Staged) -> bool:
    """Stage events on the strength of what is remembered; tell whether they may be written at once.

    They may not if there is nothing to write, and so nothing would be found out; if a type is new; and if a request was
    refused that may have been written before, under its event id. Then what is remembered is not true any more.
    """
    numbers, may = (staged.stream_count, staged.type_count), True
    for pending in batch:
        pending.error = None
        try:
            pending.reply = streams.stage_append(pending.request, staged)
        except (CalliopeError, ValueError) as error:
            pending.error = error
            may = may and pending.request.event_id is None
    staged.head = streams.head
    return may and bool(staged.records) and (staged.stream_count, staged.type_count) == numbers


def write_at_once(
    connection: Connection, staged: Staged, known_head: int, noted: tuple[str, int], channel: str
) -> bool:
    """Write and commit what was staged, or nothing; tell which.

    Args:
        connection: where no transaction is open.
        staged: new events of streams and types that are in the journal.
        known_head: where the journal is taken to end.
        noted: the writer and the number of the batch.
        channel: where those who listen are notified.
    """
    keys, tags = staged.new_keys, staged.tags
    columns = [list(column) for rows in (keys, tags) for column in zip(*rows, strict=True)]
    news = channel, f"{noted[0]} {staged.head}"
    parameters = (staged.head, known_head, staged.stream_count, *noted, *staged.event_columns(), *columns, *news)
    try:
        cursor = connection.execute(_STATEMENTS[bool(keys), bool(tags)], parameters, prepare=True)
    except UniqueViolation:  # an event id is in the journal already
        return False
    return cursor.fetchone() is not None
