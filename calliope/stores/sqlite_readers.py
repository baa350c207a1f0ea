"""The connections that read a journal file: each used by one thread at a time, kept for the next."""

import threading
from collections.abc import Callable
from typing import TypeVar

from calliope.errors import JournalClosedError
from calliope.stores.sqlite_connection import Connect, close_quietly, leave_log_alone
from calliope.stores.sqlite_reader import SqliteReader

T = TypeVar("T")


class SqliteReaders:
    """Readers for any number of threads; there are as many as were ever busy together.

    Args:
        connect: opens a connection.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._idle: list[SqliteReader] = []
        self._busy = 0
        self._closed = False
        self._changed = threading.Condition()

    def read(self, read: Callable[[SqliteReader], T]) -> T:
        """Read with a connection of its own.

        Raises:
            JournalClosedError: the readers were closed meanwhile.
        """
        reader = self._taken()
        try:
            if reader is None:
                reader = self._new_reader()
            return read(reader)
        finally:
            self._give_back(reader)

    def close(self) -> None:
        """Wait for those who are reading, then close all connections; closing twice does nothing."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._busy)
            while self._idle:
                close_quietly(self._idle.pop().connection)

    def _taken(self) -> SqliteReader | None:
        with self._changed:
            if self._closed:
                raise JournalClosedError("the journal was closed before it was read")
            self._busy += 1
            return self._idle.pop() if self._idle else None

    def _give_back(self, reader: SqliteReader | None) -> None:
        with self._changed:
            self._busy -= 1
            if reader is not None:
                self._idle.append(reader)
            self._changed.notify_all()

    def _new_reader(self) -> SqliteReader:
        connection = self._connect()
        connection.pragma("query_only", True)
        leave_log_alone(connection)
        return SqliteReader(connection)
