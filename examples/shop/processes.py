"""Starts every part of the shop as a process, starts it again when it dies, and ends all when it ends.

The sockets are opened here and inherited: while a part is down, requests to it wait instead of being refused. Each part
reads from a pipe that is held here, and ends when the pipe does, also when this process is killed.
"""

import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

import anyio
import msgspec
from anyio.abc import Process

ROOT = Path(__file__).parents[2]

NAMES = ("headquarters", "sales", "invoicing", "shipping")

RESTART_SECONDS = 0.2
"""The pause before a part is started again."""

STABLE_SECONDS = 5.0
"""Who lives that long has started well."""

FAILED_STARTS_MAX = 5
"""After so many failed starts in a row there is no point in another."""

END_SECONDS = 10.0
"""How long a part may take to end before it is killed."""


async def run(directory: Path, first_port: int, pay_within: float) -> None:
    """Run the shop until SIGINT or SIGTERM.

    Raises:
        OSError: a port is taken, or the directory is used by another shop.
        RuntimeError: a part does not start.
    """
    with ExitStack() as stack:
        stack.enter_context(_alone_in(directory))
        sockets = {
            name: stack.enter_context(_listening(first_port and first_port + index)) for index, name in enumerate(NAMES)
        }
        addresses = {name: f"http://127.0.0.1:{listening.getsockname()[1]}" for name, listening in sockets.items()}
        failure: str | None = None

        async def keep_running(name: str, listening: socket.socket) -> None:
            nonlocal failure
            command = _command(name, directory, listening.fileno(), addresses, pay_within)
            failure = await _keep_running(name, addresses[name], command, listening.fileno())
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for name, listening in sockets.items():
                tasks.start_soon(keep_running, name, listening)
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    break
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise RuntimeError(failure)


async def _keep_running(name: str, address: str, command: Sequence[str], descriptor: int) -> str:
    """Start a part again and again; return why there is no point in it."""
    failed_starts = 0
    while failed_starts < FAILED_STARTS_MAX:
        started = anyio.current_time()
        async with await anyio.open_process(
            command, cwd=ROOT, stdout=None, stderr=None, start_new_session=True, pass_fds=(descriptor,)
        ) as process:
            print(f"{name} at {address}, process {process.pid}", flush=True)
            status = await _ended(process)
        failed_starts = 0 if anyio.current_time() - started >= STABLE_SECONDS else failed_starts + 1
        print(f"{name} ended with {status} and is started again", flush=True)
        await anyio.sleep(RESTART_SECONDS)
    return f"{name} ended {FAILED_STARTS_MAX} times just after it was started"


async def _ended(process: Process) -> int:
    """Return the status that a process ends with; when cancelled, have it end."""
    try:
        return await process.wait()
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(END_SECONDS, shield=True):
            if process.stdin is not None:
                await process.stdin.aclose()
            await process.wait()
        raise


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    with (directory / "shop.lock").open("w") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except OSError as error:
            raise OSError(f"another shop runs in {directory}") from error
        yield


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise OSError(f"port {port} of this machine cannot be used: {error}") from error


def _command(
    name: str, directory: Path, descriptor: int, addresses: Mapping[str, str], pay_within: float
) -> Sequence[str]:
    return (
        *(sys.executable, "-m", "examples.shop.subsystem_process", name),
        *("--directory", str(directory), "--socket", str(descriptor)),
        *("--addresses", msgspec.json.encode(addresses).decode(), "--pay-within", str(pay_within)),
    )
