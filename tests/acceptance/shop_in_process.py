"""The whole shop in this process, over one journal, with clocks that are turned by hand."""

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import anyio
from aiohttp import ClientSession

from calliope import Journal
from calliope.testing import ManualClock
from examples.shop.subsystem import Subsystem, Surroundings
from examples.shop.subsystem_process import SUBSYSTEMS, serving
from tests.acceptance.shop_client import NOUNS, ShopClient

HUNG_SECONDS = 120.0
"""Ends a test that hangs; nothing is decided by it."""

PAY_WITHIN = timedelta(minutes=15)

LOOKS_AGAIN_SECONDS = 10.0
"""After so long whoever waits for a deadline looks at the wall clock again."""


class Time:
    """The wall clock and the monotonic clock of the shop; they stand still until `let_pass`."""

    def __init__(self) -> None:
        self._microseconds = 1_700_000_000_000_000
        self.monotonic = ManualClock()

    def now(self) -> int:
        return self._microseconds

    async def let_pass(self, period: timedelta) -> None:
        self._microseconds += period // timedelta(microseconds=1)
        await self.monotonic.advance(LOOKS_AGAIN_SECONDS)


@dataclass(frozen=True)
class ShopInProcess:
    """A running shop."""

    journal: Journal
    time: Time
    subsystems: dict[str, Subsystem]

    async def happened(self, part: str, order: str, event_class: type) -> int:
        """Return the position of an event of an order, as soon as it has happened."""
        name = f"{NOUNS[part]}-{order}"
        records = self.journal.live_records(types=event_class, prefix=name, event_type=event_class)
        with anyio.fail_after(HUNG_SECONDS):
            return (await records.run_first()).position

    async def events_of(self, part: str, order: str) -> list[str]:
        """Return the names of the events of a part's aggregate."""
        prefix = f"{NOUNS[part]}-{order}"
        return [record.type async for record in self.journal.records(prefix=prefix)]


@asynccontextmanager
async def shop_in_process(directory: Path) -> AsyncIterator[ShopInProcess]:
    """Run all parts while the block lasts."""
    time = Time()
    async with AsyncExitStack() as stack:
        opened = Journal.open(directory / "journal.db", clock=time.now, durability="relaxed")
        journal = await stack.enter_async_context(opened)
        around = Surroundings(journal, directory, PAY_WITHIN, time.now, time.monotonic)
        subsystems = {name: await stack.enter_async_context(run(around)) for name, run in SUBSYSTEMS.items()}
        yield ShopInProcess(journal, time, subsystems)


@asynccontextmanager
async def serving_all(shop: ShopInProcess) -> AsyncIterator[ShopClient]:
    """Serve all parts over HTTP while the block lasts."""
    async with AsyncExitStack() as stack:
        sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in shop.subsystems}
        addresses = {name: f"http://127.0.0.1:{one.getsockname()[1]}" for name, one in sockets.items()}
        for name, subsystem in shop.subsystems.items():
            await stack.enter_async_context(serving(subsystem, sockets[name], addresses))
        yield ShopClient(await stack.enter_async_context(ClientSession()), addresses)
