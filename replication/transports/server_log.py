"""Where aiohttp's servers log: about those who speak no HTTP, a bounded number of lines, for anybody can cause them."""

import logging

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

from calliope.errors import shortened
from replication.complaints import Complaints


class ServerLog(logging.Logger):
    """A logger for an aiohttp server: a request that is none is a complaint about its sender, not an error of ours.

    Args:
        logger: where everything goes in the end.
        complaints: told of what was no request; logs a line of it now and then.
    """

    def __init__(self, logger: logging.Logger, complaints: Complaints) -> None:
        super().__init__(logger.name)
        self.parent = logger
        self._complaints = complaints

    def exception(self, msg: object, *args: object, exc_info: object = True, **more: object) -> None:
        """Log an exception with what led to it, unless it is about what a client sent."""
        if isinstance(exc_info, HttpProcessingError | RequestPayloadError):
            self._complaints.add(str(args[0]) if args else "unknown", f"speaks no HTTP: {_reason(exc_info)}")
        else:
            super().exception(msg, *args, exc_info=exc_info, **more)  # type: ignore[arg-type] # as aiohttp calls it


def _reason(error: HttpProcessingError | RequestPayloadError) -> str:
    """Return what is wrong, in one line; further lines of aiohttp's show the bytes."""
    said = error.message if isinstance(error, HttpProcessingError) else str(error).partition("message:")[2]
    return shortened(said.strip().partition("\n")[0].rstrip(":"))[1:-1]
