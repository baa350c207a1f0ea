"""SQLite's errors in the words of this library (https://sqlite.org/rescode.html)."""

from copy import copy

import apsw

from calliope.errors import (
    CalliopeError,
    CorruptJournalError,
    JournalBusyError,
    JournalFormatError,
    StorageError,
    StorageFullError,
)


def translated(error: Exception, path: str) -> Exception:
    """Return the error to raise to a caller: a new one each time, so that no two callers share a traceback."""
    if isinstance(error, CalliopeError):
        return copy(error)
    described = f"{path}: {type(error).__name__}: {error}"
    match error:
        case apsw.FullError():
            return StorageFullError(f"there is no room left, nothing was written ({described})")
        case apsw.BusyError():
            return JournalBusyError(f"another process holds the write lock, nothing was written ({described})")
        case apsw.CorruptError():
            return CorruptJournalError(described)
        case apsw.NotADBError() | apsw.CantOpenError() | apsw.ReadOnlyError() | apsw.PermissionsError():
            return JournalFormatError(f"it cannot be used as a journal ({described})")
        case apsw.Error() | OSError():
            return StorageError(
                f"the storage failed ({described}); of what was being written it is unknown whether it was written,"
                " and the same event id may be sent again"
            )
    return error
