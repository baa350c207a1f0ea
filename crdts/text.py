"""Text that replicas write together."""

from __future__ import annotations

from typing import Any, ClassVar

from crdts.elements import identify
from crdts.operation import Operation
from crdts.run_arguments import check_deletion, check_insertion
from crdts.sequence import _Sequence, check_index
from crdts.wire import expect


def _check_text(content: Any) -> None:
    expect(type(content) is str and len(content) > 0, "text")


def _check_count(count: object) -> None:
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"cannot delete {count!r:.100} characters: the number is an int")
    if count < 1:
        raise ValueError(f"cannot delete {count} characters: the least is one")


def _check_insertion(argument: Any) -> None:
    check_insertion(argument, _check_text)


class Text(_Sequence):
    """A text that replicas type into and delete from at any place.

    It behaves as an `RGA` of its characters (Unicode code points, which also count the index), but a string is inserted
    by one operation and kept as one run, and so is what is typed character after character: a text takes little more
    memory than its runs, and an edit takes O(log n) steps in their number.
    """

    __slots__ = ()

    _actions: ClassVar = {"insert": _check_insertion, "delete": check_deletion}

    @property
    def value(self) -> str:
        """The text."""
        return "".join(self._runs.contents())

    def insert(self, index: int, text: str) -> Operation:
        """Inserts a string before the character that is at an index now, or at the end.

        Raises:
            IndexError: The index is not from 0 to the length; nothing has changed.
            TypeError: The index is not an int, the text not a str.
            ValueError: The text is empty, which would be no operation, or has a lone surrogate; nothing has changed.
        """
        check_index(index, len(self._runs), "insert at")
        if not isinstance(text, str):
            raise TypeError(f"what is inserted into a text is a str, not {text!r:.100}")
        if not text:
            raise ValueError("the text to insert is empty: there is nothing to do")
        return self._insert(index, identify(text))

    def delete(self, index: int, n: int = 1) -> Operation:
        """Deletes characters.

        Args:
            index: The index of the first.
            n: How many, at least one.

        Raises:
            IndexError: There are not so many characters from there on; nothing has changed.
            TypeError: The index or the number is not an int.
            ValueError: The number is not positive; nothing has changed.
        """
        check_index(index, len(self._runs) - 1, "delete at")
        _check_count(n)
        if n > len(self._runs) - index:
            raise IndexError(f"cannot delete {n} characters at {index}: there are {len(self._runs) - index}")
        return self._delete(index, n)

    def __str__(self) -> str:
        return self.value

    @staticmethod
    def _merged(contents: list[Any]) -> Any:
        return "".join(contents)

    _check_content = staticmethod(_check_text)
