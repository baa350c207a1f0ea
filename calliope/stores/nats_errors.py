"""What a NATS server refuses, in the words of this library.

https://github.com/nats-io/nats-server/blob/main/server/errors.json lists the codes of JetStream's errors.
"""

from copy import copy

import msgspec

from calliope.errors import CalliopeError, JournalFormatError, StorageError, StorageFullError

WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
"""Another message stands on the subject than the publisher expects; or one is just on its way there."""

STREAM_NOT_FOUND = 10059

MESSAGE_NOT_FOUND = 10037

STREAM_EXISTS = frozenset({10058, 10065})
"""A stream of this name, or one of its subjects, exists with another configuration."""

_FULL = frozenset({10002, 10022, 10023, 10028, 10047, 10054, 10077, 10110, 10111, 10120, 10121, 10122, 10123, 10124})
_NO_JETSTREAM = frozenset({10035, 10039, 10076})
_LATER = frozenset({10001, 10003, 10004, 10007, 10008, 10009, 10158, 10167, 10175, 10176, 10210, 10211, 10212})
"""No leader now, too much at once, a batch that got lost on the way: the same thing may be asked again."""


class ServerError(msgspec.Struct, frozen=True):
    """An error as JetStream answers it."""

    code: int = 0
    err_code: int = 0
    description: str = ""

    @property
    def may_be_asked_again(self) -> bool:
        """Whether the same request may do a little later."""
        return self.err_code in _LATER or (self.code == 503 and self.err_code not in _FULL | _NO_JETSTREAM)

    def __str__(self) -> str:
        return f"{self.description} ({self.err_code or self.code})"


class NoAnswerError(Exception):
    """Nobody answered, in the time that there was.

    Attributes:
        was_sent: whether the request may have reached a server.
        nobody_listens: whether a server said that nobody listens there.
    """

    def __init__(self, reason: str, *, was_sent: bool, nobody_listens: bool = False) -> None:
        self.was_sent = was_sent
        self.nobody_listens = nobody_listens
        super().__init__(reason)


def refusal(error: ServerError, shown: str, *, doing: str) -> CalliopeError:
    """Return the error to raise for what a server refused: nothing was written."""
    described = f"{shown}: {error}"
    if error.err_code in _FULL:
        return StorageFullError(f"there is no room left {doing}, nothing was written ({described})")
    if error.err_code in _NO_JETSTREAM:
        return JournalFormatError(f"there is no JetStream for this user, it cannot hold a journal ({described})")
    return StorageError(f"the server refused {doing}, nothing was written ({described})")


def translated(error: Exception, shown: str) -> Exception:
    """Return the error to raise to a caller: a new one each time, so that no two callers share a traceback."""
    if isinstance(error, CalliopeError):
        return copy(error)
    if isinstance(error, NoAnswerError):
        if error.was_sent:
            return StorageError(
                f"{shown} does not answer ({error}); of what was being written it is unknown whether it was written,"
                " and the same event id may be sent again"
            )
        return StorageError(f"{shown} cannot be connected to; nothing was written: {error}")
    return error
