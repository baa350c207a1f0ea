"""`PostgresReaders`: connections that read, for any number of threads; there are as many as were ever busy together."""

import threading
from collections.abc import Callable
from typing import TypeVar

import psycopg

from calliope.stores.postgres_address import PostgresAddress
from calliope.stores.postgres_errors import is_lost, translated
from calliope.stores.postgres_reader import PostgresReader

T = TypeVar("T")


class PostgresReaders:
    """Lends readers.

    Args:
        address: where the journal is.
    """

    def __init__(self, address: PostgresAddress) -> None:
        self._address = address
        self._idle: list[PostgresReader] = []
        self._lock = threading.Lock()
        self._closed = False

    def read(self, read: Callable[[PostgresReader], T]) -> T:
        """Read with a connection of its own; once more over a new one if the connection turns out to be lost."""
        with self._lock:
            reader = self._idle.pop() if self._idle else None
        try:
            if reader is not None:
                try:
                    return read(reader)
                except psycopg.Error as error:
                    if not is_lost(error):
                        raise
                    self._forget(reader)
            reader = PostgresReader(self._address.connect())
            return read(reader)
        except psycopg.Error as error:
            raise translated(error, self._address.shown) from error
        finally:
            self._give_back(reader)

    def close(self) -> None:
        """Close all connections; those in use are closed when they are given back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.connection.close()

    def _forget(self, lost: PostgresReader) -> None:
        """Close a lost connection, and those beside it, which a restarted server has lost too."""
        with self._lock:
            idle, self._idle = self._idle, []
        for reader in (lost, *idle):
            reader.connection.close()

    def _give_back(self, reader: PostgresReader | None) -> None:
        if reader is None or reader.connection.closed:
            return
        with self._lock:
            if not self._closed and not reader.connection.broken:
                self._idle.append(reader)
                return
        reader.connection.close()
