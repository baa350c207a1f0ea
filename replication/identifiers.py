"""The names of replicas and of their logs, checked.

A log is named by who writes it and a random incarnation: `berlin~5e8c1a90`.
"""

import re
from functools import lru_cache

from calliope.limits import checked_text
from calliope.stores.versioned import LOG_ID_BYTES_MAX

REPLICA_ID_BYTES_MAX = 255
"""UTF-8 bytes of a replica id."""

_INCARNATION = re.compile(r"[0-9a-f]{1,16}\Z")


def checked_replica_id(replica_id: str) -> str:
    """Return a replica id if it is legal: 1 to 255 bytes in UTF-8, neither NUL nor "~", which begins an incarnation.

    Raises:
        ValueError: it is not.
        TypeError: it is not a str.
    """
    if type(replica_id) is not str:
        checked_text("replica_id", replica_id, REPLICA_ID_BYTES_MAX)
    return _checked_replica_id(replica_id)


def checked_log_id(log_id: str) -> str:
    """Return a log id if it is legal: a replica id, "~" and 1 to 16 hexadecimal digits.

    Raises:
        ValueError: it is not.
        TypeError: it is not a str.
    """
    if type(log_id) is not str:
        checked_text("log_id", log_id, LOG_ID_BYTES_MAX)
    return _checked_log_id(log_id)


@lru_cache(maxsize=4096)
def _checked_replica_id(replica_id: str) -> str:
    checked_text("replica_id", replica_id, REPLICA_ID_BYTES_MAX)
    if "~" in replica_id:
        raise ValueError(f"replica_id {replica_id!r} must not contain '~'")
    return replica_id


@lru_cache(maxsize=4096)
def _checked_log_id(log_id: str) -> str:
    checked_text("log_id", log_id, LOG_ID_BYTES_MAX)
    replica_id, _, incarnation = log_id.rpartition("~")
    if not _INCARNATION.match(incarnation):
        raise ValueError(f"log_id {log_id!r} must end in '~' and 1 to 16 hexadecimal digits")
    checked_replica_id(replica_id)
    return log_id
