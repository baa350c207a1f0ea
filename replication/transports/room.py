"""Memory that several connections share: who needs some waits until there is enough."""

import asyncio
from collections.abc import Callable


class Room:
    """A number of bytes of which parts are taken and given back.

    Args:
        size_bytes: how many there are.
    """

    def __init__(self, size_bytes: int) -> None:
        self._free = size_bytes
        self._more = asyncio.Event()

    async def take(self, size_bytes: int, is_over: Callable[[], bool]) -> bool:
        """Take a part as soon as it is free, and say whether it was; a caller that is cancelled has taken nothing.

        Args:
            size_bytes: how much.
            is_over: whether it is of no use any more; looked at whenever something is given back.
        """
        while not is_over():
            if self._free >= size_bytes:
                self._free -= size_bytes
                return True
            self._more.clear()
            await self._more.wait()
        return False

    def give_back(self, size_bytes: int) -> None:
        """Give a part back, and let those who wait look again."""
        self._free += size_bytes
        self._more.set()
