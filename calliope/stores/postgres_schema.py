"""The form of a journal in PostgreSQL: one schema with the tables of one journal.

    journal     one row: the format, the journal id, and the highest position and numbers given out; the write lock
    writer      for each open store the number of the last batch that it committed
    stream      a number for each stream id, and the stream's kind
    event_type  a number for each stored type name and schema version
    event       one row a request, or a part of one, as in an SQLite file: see `event_rows`
    event_key   the event ids that callers gave and what they named, for writing it once
    event_tag   the rows of each tag
    snapshot    states
    replica, replica_log, log_entry, stream_version, crdt_state, replica_fact
                what makes the journal a replica: see `postgres_log`

Positions come from the row in `journal`, not from a sequence: whoever commits holds that row from before it takes
positions until after its commit. So commits become visible in the order of their positions, whatever they take, and a
rolled-back one leaves no hole. A sequence would hand out 7 and 8, and 8 could be visible before 7 (the gap problem).
The lock is short: a batch is prepared before, and is written in one statement, or takes two round trips meanwhile.

The tables are made and brought to the newest format by whoever opens the journal first, under an advisory lock. A role
that may only use the journal needs: USAGE on the schema; SELECT, UPDATE on journal; SELECT, INSERT on stream,
event_type, event, event_key, event_tag; SELECT, INSERT, UPDATE, DELETE on writer and snapshot; SELECT on replica and
replica_log. To write replicated streams, or to be a node, it needs besides: SELECT, INSERT, UPDATE on replica,
replica_log, stream_version and crdt_state; SELECT, INSERT, DELETE on log_entry; SELECT, INSERT, UPDATE, DELETE on
replica_fact.

Text is compared by code point (`COLLATE "C"`), as every store does.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors
from psycopg.sql import SQL, Identifier

from calliope.errors import JournalFormatError
from calliope.stores.postgres_address import PostgresAddress
from calliope.stores.postgres_log import LOG_TABLES

_TABLES = """
CREATE TABLE journal (
    format integer NOT NULL,
    journal_id text NOT NULL,
    head bigint NOT NULL,
    streams bigint NOT NULL,
    types integer NOT NULL
);
CREATE UNIQUE INDEX only_one_journal ON journal ((true));
CREATE TABLE writer (
    writer_id text PRIMARY KEY,
    batch bigint NOT NULL,
    committed timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE stream (
    id bigint PRIMARY KEY,
    stream_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    UNIQUE (stream_id, kind)
);
CREATE TABLE event_type (
    id integer PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    schema_version bigint NOT NULL,
    UNIQUE (name, schema_version)
);
CREATE TABLE event (
    position bigint PRIMARY KEY,
    stream bigint NOT NULL,
    sequence_number bigint NOT NULL,
    event_count integer NOT NULL,
    type integer,
    types bytea,
    "timestamp" bigint NOT NULL,
    attributes bytea NOT NULL,
    payload bytea NOT NULL,
    checksum bigint NOT NULL
);
CREATE UNIQUE INDEX event_by_stream ON event (stream, sequence_number);
CREATE TABLE event_key (
    stream bigint NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    event_count integer NOT NULL,
    PRIMARY KEY (stream, event_id)
);
CREATE TABLE event_tag (
    tag text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tag, position)
);
CREATE TABLE snapshot (
    snapshot_id text COLLATE "C" NOT NULL,
    sequence_number bigint NOT NULL,
    type text NOT NULL,
    schema_version bigint NOT NULL,
    "timestamp" bigint NOT NULL,
    payload bytea NOT NULL,
    checksum bigint NOT NULL,
    PRIMARY KEY (snapshot_id, sequence_number)
);
"""

STEPS = (_TABLES, LOG_TABLES)
"""What takes a journal from each format to the next; from nothing to format 1 first, which could not be a replica."""

FORMAT_VERSION = len(STEPS)

_MAKE = "INSERT INTO journal VALUES (0, %s, 0, 0, 0)"
_LOCK = "SELECT pg_advisory_lock(hashtextextended(%s, %s))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended(%s, %s))"
_LOCK_SEED = 0x43616C6C  # "Call"


def create_or_check(connection: "psycopg.Connection[tuple[object, ...]]", address: PostgresAddress) -> str:
    """Make the journal if there is none, bring it to the newest format, and return its id.

    Raises:
        JournalFormatError: the schema holds something else or a newer journal, or may not be used.
    """
    found = _found(connection, address)
    if found is None or found[0] < FORMAT_VERSION:
        try:
            with _locked(connection, address), connection.transaction():
                _migrate(connection, address)
        except errors.InsufficientPrivilege as error:
            raise JournalFormatError(
                f"{address.shown} holds no journal in schema {address.schema!r}, and it may not be made there: {error}"
            ) from error
        found = _found(connection, address)
    if found is None:
        raise JournalFormatError(f"{address.shown} holds no journal in schema {address.schema!r}")
    return found[1]


def _found(connection: "psycopg.Connection[tuple[object, ...]]", address: PostgresAddress) -> tuple[int, str] | None:
    """Return format and id of the journal that is there, or None."""
    exists = connection.execute("SELECT to_regclass(%s)", (f"{_quoted(address.schema)}.journal",)).fetchone()
    if exists == (None,):
        return None
    try:
        row = connection.execute("SELECT format, journal_id FROM journal").fetchone()
    except (errors.UndefinedColumn, errors.InsufficientPrivilege, errors.WrongObjectType) as error:
        raise JournalFormatError(
            f"{address.shown}: schema {address.schema!r} has a table named journal that cannot be used as one: {error}"
        ) from error
    if row is None:
        raise JournalFormatError(f"{address.shown}: the table journal in schema {address.schema!r} is empty")
    version, journal_id = row
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise JournalFormatError(
            f"{address.shown} is a journal of format {version}; this version of Calliope reads up to {FORMAT_VERSION}"
        )
    return version, str(journal_id)


@contextmanager
def _locked(connection: "psycopg.Connection[tuple[object, ...]]", address: PostgresAddress) -> Iterator[None]:
    """Hold the lock under which a schema is changed.

    It is taken before the transaction begins: a session learns only then what others have made, and one that waited
    within its transaction would still take the schema for missing.
    """
    name = (address.schema, _LOCK_SEED)
    connection.execute(_LOCK, name)
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute(_UNLOCK, name)


def _migrate(connection: "psycopg.Connection[tuple[object, ...]]", address: PostgresAddress) -> None:
    """Do the steps that are missing, in the transaction that is open and with the lock held."""
    found = _found(connection, address)
    version = 0 if found is None else found[0]
    if found is None and connection.execute("SELECT to_regnamespace(%s)", (_quoted(address.schema),)).fetchone() == (
        None,
    ):
        connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(address.schema)))
    for step in STEPS[version:]:
        connection.execute(step.encode())
    if found is None:
        connection.execute(_MAKE, (secrets.token_hex(8),))
    connection.execute("UPDATE journal SET format = %s", (FORMAT_VERSION,))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
