"""The shop of `examples/shop` as processes over one journal, started with one command and driven over HTTP."""

import socket
from collections.abc import Awaitable, Callable
from fcntl import LOCK_EX, flock
from pathlib import Path

import anyio
import pytest
from aiohttp import ClientConnectionError, ClientSession

from calliope import Journal
from examples.shop.__main__ import options_in
from examples.shop.processes import NAMES, run
from tests.acceptance.shop_client import Answer, ShopClient
from tests.acceptance.shop_folds import folded, shown, stories
from tests.acceptance.shop_processes import HUNG_SECONDS, shop_processes

pytestmark = pytest.mark.anyio

ORDERS_AT_ONCE = 5

PAUSE_SECONDS = 0.05
"""Between two looks at a view from outside."""


@pytest.fixture
def anyio_backend():
    return "asyncio"  # aiohttp knows no other


@pytest.fixture
async def session(anyio_backend):
    async with ClientSession() as session:
        yield session


class PersistentClient(ShopClient):
    """Sends again, under the same command id, what was not answered because a part was killed."""

    async def post(self, url, headers, body) -> Answer:
        while True:
            try:
                return await super().post(url, headers, body)
            except ClientConnectionError:
                await anyio.sleep(PAUSE_SECONDS)

    async def get(self, url) -> Answer:
        while True:
            try:
                return await super().get(url)
            except ClientConnectionError:
                await anyio.sleep(PAUSE_SECONDS)

    async def until(self, part: str, order: str, status: str) -> dict[str, str]:
        """Look at a view until it shows a status."""
        with anyio.fail_after(HUNG_SECONDS):
            while True:
                answer = await self.ask(part, order)
                if answer.status == 200 and answer.content["status"] == status:
                    return answer.content
                await anyio.sleep(PAUSE_SECONDS)

    async def done(self, part: str, order: str, command_type: str, **fields: str) -> int:
        """Send a command that is carried out; return the position of what it led to."""
        answer = await self.send(part, order, command_type, **fields)
        assert answer.status == 200, answer
        position: int = answer.content["position"]
        return position


async def test_one_command_runs_the_whole_shop(tmp_path, session):
    with shop_processes(tmp_path, pay_within=3600) as shop:
        client = PersistentClient(session, shop.addresses)
        order = await client.confirmed(("lamp", "19.90", 3), ("chair", "49.50", 2))
        assert (await client.until("invoicing", order, "open"))["amount"] == "158.70"
        await client.done("invoicing", order, "receive-payment", amount="158.70")
        await client.until("shipping", order, "created")
        await client.done("shipping", order, "deliver-shipment")
        await client.until("headquarters", order, "completed")
        await client.until("sales", order, "closed")
    await check(tmp_path, {"completed": 1})


@pytest.mark.soak
async def test_a_part_that_is_killed_in_the_middle_of_orders_loses_nothing_and_repeats_nothing(tmp_path, session):
    with shop_processes(tmp_path, pay_within=3600) as shop:
        client = PersistentClient(session, shop.addresses)
        for name in NAMES:
            await buy_while_killed(client, lambda name=name: shop.kill(name))
    await check(tmp_path, {"completed": len(NAMES) * ORDERS_AT_ONCE})


@pytest.mark.soak
async def test_a_deadline_that_passes_while_all_are_dead_is_kept_when_they_are_back(tmp_path, session):
    with shop_processes(tmp_path, pay_within=0.5, survives=False) as shop:
        client = PersistentClient(session, shop.addresses)
        unpaid = await client.confirmed(("lamp", "19.90", 3))
        shop.process.kill()
    with shop_processes(tmp_path, pay_within=0.5) as shop:
        client = PersistentClient(session, shop.addresses)
        await client.until("headquarters", unpaid, "cancelled")
        await client.until("sales", unpaid, "cancelled")
        paid = await client.done("invoicing", unpaid, "receive-payment", amount="59.70")
        invoice = (await client.ask("invoicing", unpaid, paid)).content
        assert (invoice["status"], invoice["received"], invoice["refunded"]) == ("cancelled", "59.70", "59.70")
        assert (await client.ask("shipping", unpaid)).status == 404
    await check(tmp_path, {"refunded": 1})


async def test_what_the_command_cannot_do_it_says(tmp_path, capsys):
    for arguments in (["--pay-within", "-1"], ["--pay-within", "soon"], ["--port", "65535"]):
        with pytest.raises(SystemExit, match="2"):
            options_in(arguments)
        assert arguments[1] in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} of this machine cannot be used"):
            await run(tmp_path, port, 60.0)
    with (tmp_path / "shop.lock").open() as file:
        flock(file, LOCK_EX)
        with pytest.raises(OSError, match="another shop runs in"):
            await run(tmp_path, 0, 60.0)


async def buy_while_killed(client: PersistentClient, kill: Callable[[], None]) -> None:
    """Take some orders to their end; after each step of them all, a part is killed."""

    async def together(step: Callable[[str], Awaitable[object]]) -> None:
        async with anyio.create_task_group() as tasks:
            for order in orders:
                tasks.start_soon(step, order)
            tasks.start_soon(anyio.to_thread.run_sync, kill)

    orders = [await client.confirmed(("lamp", "19.90", 3)) for _ in range(ORDERS_AT_ONCE)]
    await together(lambda order: client.until("invoicing", order, "open"))
    await together(lambda order: client.done("invoicing", order, "receive-payment", amount="59.70"))
    await together(lambda order: client.until("shipping", order, "created"))
    await together(lambda order: client.done("shipping", order, "deliver-shipment"))
    for order in orders:
        await client.until("headquarters", order, "completed")
        await client.until("sales", order, "closed")
        await client.until("shipping", order, "delivered")


async def check(directory: Path, endings: dict[str, int]) -> None:
    """Check how orders ended, that nothing of them is there twice, and that the views are a fold of the journal."""
    async with Journal.open(directory / "journal.db") as journal:
        assert await stories(journal) == endings
        for part in NAMES:
            assert shown(part, directory) == await folded(part, journal)
