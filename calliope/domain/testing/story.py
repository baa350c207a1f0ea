"""The story of one scenario, and how it is told when it did not end as expected."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import ndiff
from pprint import pformat
from typing import Any

from calliope.domain.rejection import Rejection

WIDTH = 88
"""Characters in a line of a told story; what is longer is broken by its fields."""


@dataclass(frozen=True)
class Story:
    """What was given, and what came.

    Attributes:
        given: the past.
        when: what came.
    """

    given: Sequence[Any]
    when: Sequence[Any]

    def check_outcome(self, actual: Sequence[Any], expected: Sequence[Any]) -> None:
        """Raise unless the outcome is the expected one.

        Raises:
            AssertionError: it is another; the message shows what differs.
        """
        __tracebackhide__ = True
        actual, expected = list(actual), list(expected)
        if actual == expected:
            return
        differences = [line.rstrip() for line in ndiff(_lines(expected), _lines(actual)) if not line.startswith("?")]
        if all(line.startswith(" ") for line in differences):
            differences.append("(they read alike, and are not equal)")
        raise AssertionError(self._told("expected (-), came (+)", differences))

    def check_no_error(self, error: Exception | None) -> None:
        """Raise what was raised instead of an outcome, with the story as a note."""
        __tracebackhide__ = True
        if error is not None:
            error.add_note(self._told("expected an outcome, and was refused", [repr(error)]))
            raise error

    def check_rejection(
        self, actual: Sequence[Any], error: Exception | None, reasons: Sequence[str], kind: type[Exception]
    ) -> None:
        """Raise unless it was refused for the expected reasons.

        Raises:
            AssertionError: it was not refused, or for other reasons.
            Exception: what was raised, if it is of another kind.
        """
        __tracebackhide__ = True
        if error is None:
            raise AssertionError(self._told(f"expected {_wanted(reasons, kind)}, came", _lines(actual)))
        if not isinstance(error, kind):
            error.add_note(self._told(f"expected {_wanted(reasons, kind)}, came", [repr(error)]))
            raise error
        found = _reasons_of(error)
        if reasons and list(reasons) != found:
            differences = [line for line in ndiff(list(reasons), found) if not line.startswith("?")]
            raise AssertionError(self._told("expected reasons (-), came (+)", differences))

    def _told(self, ending: str, lines: Sequence[str]) -> str:
        parts = [("given", _lines(self.given)), ("when", _lines(self.when)), (ending, lines)]
        told = [line for title, part in parts for line in (title, *(f"    {text}" for text in part or ["nothing"]))]
        return "\n".join(["it ended otherwise", *told])


def _lines(values: Sequence[Any]) -> list[str]:
    return [line for value in values for line in pformat(value, width=WIDTH, sort_dicts=False).splitlines()]


def _wanted(reasons: Sequence[str], kind: type[Exception]) -> str:
    return f"{kind.__name__}({', '.join(map(repr, reasons))})"


def _reasons_of(error: Exception) -> list[str]:
    return list(error.reasons) if isinstance(error, Rejection) else [str(error)]
