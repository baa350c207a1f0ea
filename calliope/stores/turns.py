"""`Turns`: when those who wait for commits had better commit by halves, in turn, than all together.

All who waited for one commit are woken together, and their next requests gather for the next commit. Meanwhile the
database has nothing to do; and while it commits, the event loop has not. So if they are many, one half of them commits
while the other half is woken, asks again and gathers:

    together    gather ▒▒▒▒▒▒        ▒▒▒▒▒▒        ▒▒▒▒▒▒
                commit       ███████       ███████

    in turn     gather ▒▒▒▒▒▒ ▒▒▒ ▒▒▒ ▒▒▒ ▒▒▒ ▒▒▒
                commit    ████████████████████████

It takes one commit more for the same requests, so it pays where that costs less than gathering: not on a disk, or
behind a network, that is slow to answer. What a commit costs however little it holds is not measured, but is at most
what was waited for any commit; so whoever takes turns by this measure loses nothing.
"""

TURN_REQUESTS_MIN = 64
"""Fewer requests than this are not worth a commit of their own."""

SLOWER_AT_MOST = 1.25
"""How much longer than before a commit is taken to last. One that met a hiccup of the disk says little of the next."""


class Turns:
    """How many of the requests that have gathered go into the next commit.

    The event loop says how long gathering takes, the committing thread how long it waits for the database.
    """

    __slots__ = ("_gathering_seconds_each", "_waiting_seconds")

    def __init__(self) -> None:
        self._gathering_seconds_each = 0.0
        self._waiting_seconds = float("inf")

    def gathered(self, count: int, seconds: float) -> None:
        """Note how long it took to wake so many callers and take their next requests."""
        self._gathering_seconds_each = seconds / count

    def waited(self, seconds: float) -> None:
        """Note how long the database was waited for at the end of a commit."""
        self._waiting_seconds = min(seconds, SLOWER_AT_MOST * self._waiting_seconds)

    def share(self, gathered: int, committed: int = 0) -> int:
        """Return how many of the requests that have gathered to commit next.

        Args:
            gathered: how many have gathered.
            committed: how many were committed just now, and are not told yet: their callers are the other half.

        Returns:
            If that is 0, those who were committed are told first, and gather with the others.
        """
        callers = gathered + committed
        if self._pay(callers) and gathered >= TURN_REQUESTS_MIN:
            return min(gathered, max(TURN_REQUESTS_MIN, (callers + 1) // 2))
        return 0 if committed else gathered

    def _pay(self, callers: int) -> bool:
        gathering_seconds = callers * self._gathering_seconds_each
        return callers >= 2 * TURN_REQUESTS_MIN and self._waiting_seconds < gathering_seconds
