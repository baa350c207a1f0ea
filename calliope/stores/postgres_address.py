"""`PostgresAddress`: where a journal is kept on a PostgreSQL server, and how it is connected to."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier, Literal

from calliope.errors import JournalFormatError, StorageError
from calliope.shown_url import without_password
from calliope.stores.postgres_connection import MARGIN_SECONDS, AnsweringConnection

SCHEMA = "calliope"
"""The schema that holds a journal if the URL names none."""

SCHEMA_BYTES_MAX = 48
"""UTF-8 bytes of a schema's name; PostgreSQL cuts names of more than 63, and the channel is named after it."""

READERS = 4
"""How many pages are read at once if the URL does not say."""

READERS_MAX = 64

CONNECT_SECONDS = 5
"""How long one attempt to connect may take, in whole seconds as libpq counts, if the URL sets no `connect_timeout`."""

PATIENCE_SECONDS = 15.0
"""How long a server that is gone is waited for before callers are told, if the URL sets no `timeout`."""

STATEMENT_SECONDS = 60.0
"""How long one statement may take if the URL sets no `statement_timeout`."""

SECONDS_MAX = 86_400.0

SIGN_OF_LIFE = {
    "tcp_user_timeout": "20000",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
"""When a connection over TCP counts as lost because nothing is heard of the server's machine, if the URL does not say:
after 20 and 25 seconds. Linux alone would wait for a quarter of an hour."""

LOCK_SECONDS = 15
"""How long a commit waits for those of other processes."""

SERVER_VERSION_MIN = 140_000
"""The oldest server that is understood: PostgreSQL 14."""


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """Where a journal is.

    Attributes:
        conninfo: the server, the database and who connects, for libpq.
        shown: the same without the password, for errors.
        schema: the schema that the journal's tables are in.
        readers: how many connections read at most; one more writes and one listens.
        timeout: for how many seconds a server that is gone is waited for before callers are told.
        statement_timeout: how many seconds one statement may take.
        durable: whether a commit waits for the disk.
    """

    conninfo: str
    shown: str
    schema: str
    readers: int
    timeout: float
    statement_timeout: float
    durable: bool

    @classmethod
    def parse(cls, url: str, *, durable: bool = True) -> "PostgresAddress":
        """Return the address in a URL: one of libpq's, with parameters of ours among its own.

        `schema` and `readers`; `timeout` and `statement_timeout`, in seconds.

        https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS

        Raises:
            ValueError: it is not such a URL.
        """
        parts = urlsplit(url)
        parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
        schema = parameters.pop("schema", SCHEMA)
        if not schema or "\0" in schema or len(schema.encode()) > SCHEMA_BYTES_MAX:
            raise ValueError(f"a schema's name has 1 to {SCHEMA_BYTES_MAX} bytes, not {schema!r}")
        readers = parameters.pop("readers", str(READERS))
        if not readers.isdecimal() or not 1 <= int(readers) <= READERS_MAX:
            raise ValueError(f"readers must be 1 to {READERS_MAX}, not {readers!r}")
        timeout = _seconds(parameters, "timeout", PATIENCE_SECONDS)
        statement_timeout = _seconds(parameters, "statement_timeout", STATEMENT_SECONDS)
        conninfo = urlunsplit(parts._replace(query=urlencode(parameters, quote_via=quote)))
        shown = without_password(url)
        try:
            given = conninfo_to_dict(conninfo)
        except psycopg.ProgrammingError as error:
            raise ValueError(f"{shown!r} is not a PostgreSQL URL: {str(error).strip()}") from None
        defaults = {"connect_timeout": f"{CONNECT_SECONDS}", **SIGN_OF_LIFE}
        conninfo = make_conninfo(conninfo, **{name: value for name, value in defaults.items() if name not in given})
        return cls(conninfo, shown, schema, int(readers), timeout, statement_timeout, durable)

    @property
    def channel(self) -> str:
        """The name under which commits are notified."""
        return f"{self.schema}-journal"

    def connect(self) -> AnsweringConnection:
        """Return a new connection on which each statement is a transaction of its own.

        Raises:
            StorageError: the server cannot be connected to.
            JournalFormatError: the server is too old.
        """
        try:
            connection = AnsweringConnection.connect(
                self.conninfo, autocommit=True, fallback_application_name="calliope"
            )
        except psycopg.Error as error:
            described = " ".join(str(error).split())
            raise StorageError(f"{self.shown} cannot be connected to; nothing was written: {described}") from error
        connection.answer_seconds = self.statement_timeout + MARGIN_SECONDS
        try:
            self._check(connection)
            self._settle(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: "psycopg.Connection[tuple[object, ...]]") -> None:
        version = connection.info.server_version
        if version < SERVER_VERSION_MIN:
            raise JournalFormatError(
                f"{self.shown} is a PostgreSQL {version // 10_000}; Calliope needs"
                f" {SERVER_VERSION_MIN // 10_000} or newer"
            )

    def _settle(self, connection: "psycopg.Connection[tuple[object, ...]]") -> None:
        settings: dict[str, object] = {
            "statement_timeout": round(self.statement_timeout * 1_000),
            "lock_timeout": round(LOCK_SECONDS * 1_000),
            "idle_in_transaction_session_timeout": round(STATEMENT_SECONDS * 1_000),
        }
        if not self.durable:
            settings["synchronous_commit"] = "off"
        elif connection.execute("SHOW synchronous_commit").fetchone() in (("off",), ("local",)):
            settings["synchronous_commit"] = "on"
        connection.execute(SQL("SET search_path TO {}").format(Identifier(self.schema)))
        for name, value in settings.items():
            connection.execute(SQL("SET {} TO {}").format(Identifier(name), Literal(value)))


def _seconds(parameters: dict[str, str], name: str, default: float) -> float:
    """Take a number of seconds from a URL's parameters.

    Raises:
        ValueError: it is none.
    """
    given = parameters.pop(name, None)
    if given is None:
        return default
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= SECONDS_MAX:
        raise ValueError(f"{name} must be a number of seconds above 0, not {given!r}")
    return seconds
