"""What copying raises, besides what the two journals do."""

from collections.abc import Sequence

from calliope.errors import CalliopeError


class CopyError(CalliopeError):
    """A journal was not copied to its end; copying again goes on."""


class CopyRefusedError(CopyError):
    """The two journals cannot be source and target; nothing was written."""


class CopyDiffersError(CopyError):
    """The copy is not what was copied.

    Attributes:
        differences: what differs, in words; the first ones, if there are many.
    """

    def __init__(self, differences: Sequence[str]) -> None:
        self.differences = tuple(differences)
        super().__init__(f"the copy differs from its source: {self.differences[0]}")
