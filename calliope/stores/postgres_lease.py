"""`PostgresLease`: one node at a time over a journal, for as long as it lives, and none that only believes so.

1. A session advisory lock (https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS) on a
   connection of its own keeps a second node out; the server lets it go when the connection ends, however it ends.
2. A connection may be lost while its node goes on. So the holder is also named in the table `replica`, and every commit
   that a node makes as a node looks, under the journal's lock, whether it is still named there (a fencing token). Who
   takes the lock names himself; whoever was named before him can write no more.
3. A node that lost the connection takes the lock again, if nobody was named meanwhile, and ends if somebody was.

Ordinary writers of replicated streams need no lease: what they write is numbered under the journal's lock.
"""

import secrets
import time

import psycopg

from calliope.errors import JournalBusyError, StorageError
from calliope.stores.postgres_address import PostgresAddress
from calliope.stores.postgres_reader import Connection

TAKE_PAUSES_SECONDS = (0.05, 0.1, 0.2)
"""A server lets go of a killed node's lock a moment after the node is gone; so it is tried again after these pauses."""

LOOK_SECONDS = 2.0
"""How often a node looks whether it still holds its journal."""

_TAKE = "SELECT pg_try_advisory_lock(hashtextextended(%s, %s))"
_SEED = 0x4E6F6465  # "Node"
_HOLDER = "SELECT holder FROM replica"
_KEEPALIVES = (
    "SET tcp_keepalives_idle TO 10; SET tcp_keepalives_interval TO 5; SET tcp_keepalives_count TO 4"  # else hours
)


class PostgresLease:
    """What a node holds; used by one thread at a time.

    Args:
        address: where the journal is.
        journal_id: its id.

    Attributes:
        holder: names this node.
    """

    def __init__(self, address: PostgresAddress, journal_id: str) -> None:
        self.holder = secrets.token_hex(8)
        self._address = address
        self._journal_id = journal_id
        self._connection: Connection | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            JournalBusyError: another node has it.
            StorageError: the server cannot be reached.
        """
        for pause_seconds in TAKE_PAUSES_SECONDS:
            if self._taken():
                return
            time.sleep(pause_seconds)
        if not self._taken():
            raise JournalBusyError(f"another node runs on {self._address.shown}, schema {self._address.schema!r}")

    def look(self) -> None:
        """Take the lock again if the connection was lost; while the server is away, nothing can be told or written.

        Raises:
            JournalBusyError: another node holds the journal now, or has held it meanwhile.
        """
        try:
            if self._connection is not None:
                self._connection.execute("SELECT 1")
                return
            self._taken()
            self._check_named()
        except (psycopg.Error, StorageError):
            self.release()

    def release(self) -> None:
        """Let go."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _taken(self) -> bool:
        connection = self._address.connect()
        try:
            connection.execute(_KEEPALIVES)
            if connection.execute(_TAKE, (self._journal_id, _SEED)).fetchone() == (True,):
                self._connection = connection
                return True
        finally:
            if self._connection is not connection:
                connection.close()
        return False

    def _check_named(self) -> None:
        if self._connection is None:
            with self._address.connect() as connection:
                named = connection.execute(_HOLDER).fetchone()
        else:
            named = self._connection.execute(_HOLDER).fetchone()
        if named != (self.holder,):
            self.release()
            raise taken_over(self._address)


def taken_over(address: PostgresAddress) -> JournalBusyError:
    """Return the error of a node that was replaced."""
    return JournalBusyError(
        f"another node has taken {address.shown}, schema {address.schema!r}, while this one was cut off from the"
        " server; nothing was written"
    )
