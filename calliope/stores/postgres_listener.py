"""`PostgresListener`: hears of other processes' commits, and goes on hearing when the connection is lost.

Every commit notifies a channel (https://www.postgresql.org/docs/current/sql-notify.html); its own commits a store
announces itself. A notification says that there is something, the journal says what: so whatever was missed while the
connection was lost is found by one look when it is back, with no gap and no duplicate.
"""

import os
import select
import threading
from collections.abc import Callable

import psycopg
from psycopg.sql import SQL, Identifier

from calliope.errors import CalliopeError
from calliope.stores.event_loop import EventLoopEndedError
from calliope.stores.postgres_address import PostgresAddress
from calliope.stores.postgres_reader import Connection, PostgresReader

RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""The pauses between attempts to connect; the last one repeats."""

LOOK_SECONDS = 20.0
"""How often it looks although nothing was heard, in case the connection is lost without a sign."""


class PostgresListener:
    """Listens on a thread and a connection of its own.

    Args:
        address: where the journal is.
        writer_id: whose notifications to leave alone.
        look: reads what is new, on the listener's connection; called at the beginning and whenever something may be.
    """

    def __init__(self, address: PostgresAddress, writer_id: str, look: Callable[[PostgresReader], None]) -> None:
        self._address = address
        self._own = f"{writer_id} "
        self._look = look
        self._closing = False
        self._woken, self._waking = os.pipe()
        self._thread = threading.Thread(target=self._work, name="calliope-listener", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening; return when the thread has ended."""
        self._closing = True
        os.write(self._waking, b"\0")
        self._thread.join()
        os.close(self._waking)
        os.close(self._woken)

    def _work(self) -> None:
        pauses = iter(RETRY_SECONDS)
        while not self._closing:
            try:
                with self._address.connect() as connection:
                    connection.execute(SQL("LISTEN {}").format(Identifier(self._address.channel)))
                    pauses = iter(RETRY_SECONDS)
                    self._listen(connection)
            except EventLoopEndedError:
                return
            except (psycopg.Error, CalliopeError, OSError):
                self._pause(next(pauses, RETRY_SECONDS[-1]))  # whoever reads or writes meets the error itself

    def _listen(self, connection: Connection) -> None:
        reader = PostgresReader(connection)
        self._look(reader)
        while not self._closing:
            # Some may have come with the answer to a query already, and then there is nothing to wait for.
            heard = [notify.payload for notify in connection.notifies(timeout=0)]
            if not heard:
                ready, _, _ = select.select([connection.fileno(), self._woken], [], [], LOOK_SECONDS)
                if self._woken in ready:
                    return
                heard = [] if ready else ["nothing for long"]
            if not all(payload.startswith(self._own) for payload in heard):
                self._look(reader)

    def _pause(self, seconds: float) -> None:
        select.select([self._woken], [], [], seconds)
