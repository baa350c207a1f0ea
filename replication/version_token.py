"""`VersionToken`: names an update, so that others can wait until they see it."""

from dataclasses import dataclass
from typing import Self

from calliope.limits import checked_number, checked_text
from calliope.stores.versioned import LOG_ID_BYTES_MAX


@dataclass(frozen=True, slots=True)
class VersionToken:
    """A place in a log: who holds it holds the update, and everything that the update had seen.

    `str(token)` prints it and `VersionToken.parse` reads it again: hand it to another process in a header, say.

    Attributes:
        log_id: the log that the update was written in.
        number: its entry there; 0: nothing has been written in it yet.

    Raises:
        TypeError, ValueError: these are no log id and number.
    """

    log_id: str
    number: int

    def __post_init__(self) -> None:
        checked_text("log_id", self.log_id, LOG_ID_BYTES_MAX)
        checked_number("number", self.number)

    def __str__(self) -> str:
        return f"{self.number}@{self.log_id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the token that `str` printed.

        Raises:
            TypeError, ValueError: the text is no token.
        """
        number, at, log_id = text.partition("@")
        if not (at and number.isascii() and number.isdecimal() and len(number) < 20):
            raise ValueError(f"{text!r:.100} is no version token: a number, an @ and a log id were expected")
        return cls(log_id, int(number))
