"""What a journal holds already of the streams that an event log touches, so that no row is imported twice.

A row is recognised by what it says (stream, type, time, data), never by the file's name or the line's number: a file
may be renamed, grow or be sorted anew, and only what is new in it is imported. Rows that say the same are told apart
by counting: a log with two of them, and a stream with one, leaves one to be imported.

All of it is kept in a temporary SQLite database, which stays in memory while it is small, and whose file is gone when
the process is, however it ends. So memory does not grow with the log.
"""

from hashlib import blake2b
from typing import Any, cast

import apsw
import msgspec

from calliope.event_log.columns import TIME
from calliope.payload import decode_plain
from calliope.stores.record import Attributes, StoredType

CACHE_KIBIBYTES = 32 * 1024

_encode_sorted = msgspec.msgpack.Encoder(order="sorted").encode

_TABLES = """
CREATE TABLE stream (stream_id TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE found (fingerprint BLOB PRIMARY KEY, times INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""


def fingerprint(
    stream_id: str, event_type: StoredType, payload: bytes, attributes: Attributes, time: str | None
) -> bytes:
    """Return 16 bytes that stand for what an event says; who imported it, when and where it stands is left out."""
    metadata = attributes.metadata
    if TIME in metadata:
        metadata = {key: value for key, value in metadata.items() if key != TIME}
    said: tuple[Any, ...] = (stream_id, *event_type, time, attributes.tags, metadata, decode_plain(payload))
    return blake2b(_encode_sorted(said), digest_size=16).digest()


class Ledger:
    """Counts stored events that no row of the log accounts for yet.

    Attributes:
        is_empty: whether no stored event was added yet.
    """

    def __init__(self) -> None:
        self._connection = apsw.Connection("")
        self._connection.pragma("journal_mode", "off")
        self._connection.pragma("cache_size", -CACHE_KIBIBYTES)
        self._connection.execute(_TABLES)
        self._connection.execute("BEGIN")
        self.is_empty = True

    def version(self, stream_id: str) -> int | None:
        """Return the sequence number up to which a stream is known; None: not at all."""
        return cast("int | None", self._get("SELECT version FROM stream WHERE stream_id = ?", stream_id))

    def set_version(self, stream_id: str, version: int) -> None:
        """Note up to which sequence number a stream is known."""
        self._connection.execute("INSERT OR REPLACE INTO stream VALUES (?, ?)", (stream_id, version))

    def add(self, mark: bytes) -> None:
        """Note a stored event, by its fingerprint."""
        self.is_empty = False
        self._connection.execute(
            "INSERT INTO found VALUES (?, 1) ON CONFLICT (fingerprint) DO UPDATE SET times = times + 1", (mark,)
        )

    def take(self, mark: bytes) -> bool:
        """Tell whether a stored event says the same as a row, and let it count for no other row."""
        self._connection.execute("UPDATE found SET times = times - 1 WHERE fingerprint = ? AND times > 0", (mark,))
        return self._connection.changes() > 0

    def close(self) -> None:
        """Forget everything."""
        self._connection.close()

    def _get(self, sql: str, *bindings: str) -> object:
        return self._connection.execute(sql, bindings).get
