"""Rows of the table of CRDT states, the same in every database: the columns of a state, and its checksum."""

from zlib import crc32

from calliope.errors import CorruptJournalError
from calliope.stores.replica_store import StoredState

StateRow = tuple[str, str, bytes, int]
"""Key, type name, body, checksum."""


def state_row(state: StoredState) -> StateRow:
    """Return the row that keeps a state."""
    return state.key, state.type_name, state.body, state_checksum(state)


def checked_state(row: StateRow) -> StoredState:
    """Return the state that a row keeps.

    Raises:
        CorruptJournalError: it does not match its checksum.
    """
    key, type_name, body, checksum = row
    state = StoredState(key, type_name, body)
    if state_checksum(state) != checksum:
        raise CorruptJournalError(f"the state of key {key!r} does not match its checksum")
    return state


def state_checksum(state: StoredState) -> int:
    """Return the CRC-32 of a state: of its key and type name, each followed by NUL, and its body."""
    return crc32(state.body, crc32(f"{state.key}\0{state.type_name}\0".encode()))


def text_behind(prefix: str) -> str | None:
    """Return the first text, by code point, behind all that begin with a prefix; None: there is none."""
    for index in reversed(range(len(prefix))):
        code = ord(prefix[index])
        if code < 0x10FFFF:
            following = 0xE000 if code == 0xD7FF else code + 1  # no lone surrogates
            return prefix[:index] + chr(following)
    return None
