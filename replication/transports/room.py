"""Memory that several connections share: who needs some waits until there is enough."""

import asyncio


class Room:
    """A number of bytes of which parts are taken and given back.

    Args:
        size_bytes: how many there are.
    """

    def __init__(self, size_bytes: int) -> None:
        self._free = size_bytes
        self._more = asyncio.Event()

    async def take(self, size_bytes: int) -> None:
        """Take a part as soon as it is free; a caller that is cancelled has taken nothing."""
        while self._free < size_bytes:
            self._more.clear()
            await self._more.wait()
        self._free -= size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Give a part back."""
        self._free += size_bytes
        self._more.set()
