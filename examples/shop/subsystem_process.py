"""A part of the shop as a process: `python -m examples.shop.subsystem_process sales …`, which `processes` starts.

It ends when its standard input does, so it does not outlive who started it, however that one ends.
"""

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from fcntl import LOCK_EX, flock
from pathlib import Path

import msgspec
from aiohttp import web

from calliope import CalliopeError, Journal
from examples.shop.headquarters import headquarters
from examples.shop.http_interface import answered, application
from examples.shop.invoicing import invoicing
from examples.shop.open_api import document_of
from examples.shop.sales import sales
from examples.shop.shipping import shipping
from examples.shop.subsystem import Subsystem, Surroundings

SUBSYSTEMS = {"headquarters": headquarters, "sales": sales, "invoicing": invoicing, "shipping": shipping}

PAGE = Path(__file__).parent / "page"

SHUTDOWN_SECONDS = 2.0
"""How long requests under way may take when the process ends."""


@contextmanager
def alone(directory: Path, name: str) -> Iterator[None]:
    """Be the only process of this part for the block; wait for one that is still ending, since its shop was killed."""
    with (directory / f"{name}.lock").open("w") as file:
        flock(file, LOCK_EX)
        yield


async def main(options: argparse.Namespace) -> None:
    """Run a part until it is told to end."""
    addresses = msgspec.json.decode(options.addresses, type=dict[str, str])
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(Journal.open(options.directory / "journal.db"))
        around = Surroundings(journal, options.directory, timedelta(seconds=options.pay_within))
        subsystem = await stack.enter_async_context(SUBSYSTEMS[options.name](around))
        await stack.enter_async_context(serving(subsystem, socket.socket(fileno=options.socket), addresses))
        await told_to_end()


@asynccontextmanager
async def serving(subsystem: Subsystem, listening: socket.socket, addresses: dict[str, str]) -> AsyncIterator[None]:
    """Serve a part over HTTP while the block lasts."""
    app = served(subsystem, addresses)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        yield
    finally:
        await runner.cleanup()


def served(subsystem: Subsystem, addresses: dict[str, str]) -> web.Application:
    """Return the application of a part: its endpoints, their document, and at Headquarters the page."""
    app = application(subsystem.endpoints, addresses["headquarters"])
    document = document_of(subsystem.title, subsystem.endpoints)

    async def openapi(request: web.Request) -> web.Response:
        return answered(document)

    async def all_addresses(request: web.Request) -> web.Response:
        return answered(addresses)

    async def page(request: web.Request) -> web.FileResponse:
        if f"http://{request.host}" != addresses["headquarters"]:
            raise web.HTTPFound(addresses["headquarters"])  # it has other names, which the other parts do not trust
        allowed = f"default-src 'self'; img-src 'self' data:; connect-src {' '.join(addresses.values())}"
        headers = {"Content-Security-Policy": allowed}
        return web.FileResponse(PAGE / "index.html", headers=headers)

    app.router.add_get("/openapi.json", openapi)
    if subsystem.title == "Headquarters":
        app.router.add_get("/", page)
        app.router.add_get("/addresses.json", all_addresses)
        app.router.add_static("/page", PAGE)
    return app


async def told_to_end() -> None:
    """Return when standard input has ended, or SIGTERM has come."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    loop.add_signal_handler(signal.SIGTERM, reader.feed_eof)
    await reader.read()
    transport.close()


def options_in(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.shop.subsystem_process", description=__doc__)
    parser.add_argument("name", choices=SUBSYSTEMS)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--socket", type=int, required=True, help="the descriptor of a listening socket")
    parser.add_argument("--addresses", required=True, help="where each part is reached, as JSON")
    parser.add_argument("--pay-within", type=float, required=True, help="seconds")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    wanted = options_in()
    try:
        with alone(wanted.directory, wanted.name):
            asyncio.run(main(wanted))
    except CalliopeError as error:  # such as a journal that is none
        sys.exit(f"{wanted.name}: {error}")
