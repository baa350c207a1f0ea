"""The transcript of what was done to the replicas, which is also the text of a failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from crdts.testing.command import Command


class Discrepancy(AssertionError):
    """The replicas did not do what a CRDT promises; the text is the story that led there."""


class Story:
    """Writes one line for each thing that happens, and ends in a `Discrepancy` if a promise is broken.

    Attributes:
        ended: a promise was broken; there is nothing to tell any more.
    """

    def __init__(self) -> None:
        self.ended = False
        self._lines: list[str] = []
        self._told: Counter[tuple[str, str]] = Counter()

    def __str__(self) -> str:
        return "\n".join(self._lines)

    def name(self, replica_id: str, command: Command) -> str:
        """Names a command for later lines; the second one of the same text from one replica says so."""
        text = str(command)
        self._told[replica_id, text] += 1
        number = self._told[replica_id, text]
        return text if number == 1 else f"{text} (no. {number})"

    @contextmanager
    def tell(self, line: str) -> Iterator[None]:
        """Adds a line; what is done in the block may fail only with the story as the error's text."""
        self._lines.append(line)
        try:
            yield
        except AssertionError:
            raise
        except Exception as error:
            self.ended = True
            self._lines[-1] += f" raised {type(error).__name__}: {error}"
            raise Discrepancy(str(self)) from error

    def forget(self) -> None:
        """Takes the last line back: it ended well and changed nothing."""
        self._lines.pop()

    def fail(self, expectation: str) -> NoReturn:
        """Ends the story with what was expected and what was found instead."""
        self.ended = True
        raise Discrepancy(f"{self}\nexpect {expectation}")

    def amend(self, remark: str) -> None:
        """Adds a remark to the last line."""
        self._lines[-1] += remark
