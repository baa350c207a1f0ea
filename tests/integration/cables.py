"""Cables between nodes of one process: TCP connections go through them, and they can be cut and mended."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress


class Cable:
    """Carries what is sent to its address on to another address, and back, while it is whole."""

    def __init__(self, far: str) -> None:
        self.address = ""
        self._far = far
        self._is_whole = True
        self._is_deaf = False
        self._server: asyncio.Server
        self._ends: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._taken, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """End all connections at once, and let nobody get through."""
        self._is_whole = False
        for end in self._ends:
            end.transport.abort()

    def deafen(self) -> None:
        """Carry on what is sent, and lose all answers, until it is mended."""
        self._is_deaf = True

    def mend(self) -> None:
        self._is_whole, self._is_deaf = True, False

    async def aclose(self) -> None:
        self.cut()
        self._server.close()
        await asyncio.gather(*self._carrying)

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        try:
            with suppress(OSError):
                await self._carry(reader, writer)
        finally:
            writer.transport.abort()
            self._carrying.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._far.rsplit(":", 1)
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        ends = {writer, far_writer}
        self._ends |= ends
        try:
            if self._is_whole:
                await asyncio.gather(
                    _pump(reader, far_writer, lambda: False), _pump(far_reader, writer, lambda: self._is_deaf)
                )
        finally:
            self._ends -= ends
            far_writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: Callable[[], bool]) -> None:
    """Hand on what comes and is not lost, until either side is gone; then both are."""
    with suppress(OSError):
        while chunk := await reader.read(65536):
            if lost():
                continue
            writer.write(chunk)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def cable_to(address: str) -> AsyncIterator[Cable]:
    cable = Cable(address)
    await cable.start()
    try:
        yield cable
    finally:
        await cable.aclose()
