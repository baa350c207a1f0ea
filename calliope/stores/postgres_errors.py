"""PostgreSQL's errors in the words of this library (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""

from copy import copy

import psycopg
from psycopg import errors

from calliope.errors import CalliopeError, JournalBusyError, JournalFormatError, StorageError, StorageFullError


def translated(error: Exception, shown: str) -> Exception:
    """Return the error to raise to a caller: a new one each time, so that no two callers share a traceback.

    Args:
        error: what was raised; nothing is in doubt any more: what was being written was not.
        shown: the server, without a password.
    """
    if isinstance(error, CalliopeError):
        return copy(error)
    described = f"{shown}: {type(error).__name__}: {' '.join(str(error).split())}"
    match error:
        case errors.DiskFull():
            return StorageFullError(f"there is no room left, nothing was written ({described})")
        case errors.LockNotAvailable() | errors.QueryCanceled() | errors.IdleInTransactionSessionTimeout():
            return JournalBusyError(f"the server or another process took too long, nothing was written ({described})")
        case errors.InsufficientPrivilege() | errors.UndefinedTable() | errors.UndefinedColumn():
            return JournalFormatError(f"it cannot be used as a journal ({described})")
        case psycopg.Error():
            return StorageError(f"the storage failed, nothing was written ({described})")
    return error


def is_lost(error: BaseException) -> bool:
    """Tell whether an error means that a connection is lost, or could not be made, and that a later one may do."""
    if isinstance(error, StorageError):
        return True  # it could not be made
    code = error.sqlstate if isinstance(error, psycopg.OperationalError) else ""
    return code is None or code.startswith(("08", "57P"))  # by the client itself, or by what the server said last
