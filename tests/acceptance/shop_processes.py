"""The shop as a person starts it: one command, four processes under it."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]

HUNG_SECONDS = 120.0
"""Ends a test that hangs; nothing is decided by it."""

STARTED = re.compile(r"^(\w+) at (http://127\.0\.0\.1:\d+), process (\d+)$")


class ShopProcesses:
    """A running shop.

    Args:
        process: the command.

    Attributes:
        addresses: of its parts, by their names.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.addresses: dict[str, str] = {}
        self._process_ids: dict[str, int] = {}
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def until_started(self, *names: str) -> None:
        """Return when parts were started, each anew if it was before."""
        missing = set(names)
        while missing:
            started = STARTED.match(self._lines.get(timeout=HUNG_SECONDS))
            if started is not None:
                name, self.addresses[name], process_id = started[1], started[2], started[3]
                self._process_ids[name] = int(process_id)
                missing.discard(name)

    def kill(self, name: str) -> None:
        """Kill a part, wherever it is; return when another was started in its place."""
        os.kill(self._process_ids[name], signal.SIGKILL)
        self.until_started(name)

    def end(self) -> int:
        """End the shop as a person does; return its status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(HUNG_SECONDS)

    def join(self) -> None:
        """Return when all that it printed was read."""
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))


@contextmanager
def shop_processes(directory: Path, pay_within: float, *, survives: bool = True) -> Iterator[ShopProcesses]:
    """Run a shop for the block, and leave none of its processes behind.

    Args:
        directory: where it keeps everything.
        pay_within: how many seconds customers have to pay.
        survives: whether it is running at the end of the block, and then to end as it should.
    """
    command = [sys.executable, "-m", "examples.shop", "--directory", str(directory)]
    with (directory / "errors.txt").open("w+") as errors:
        with subprocess.Popen(
            [*command, "--port", "0", "--pay-within", str(pay_within)],
            cwd=ROOT,
            env={**os.environ, "PYTHONWARNINGS": "error"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process:
            shop = ShopProcesses(process)
            try:
                shop.until_started("headquarters", "sales", "invoicing", "shipping")
                yield shop
                assert not survives or shop.end() == 0
            finally:
                process.kill()  # its parts end when it does
                shop.join()
        errors.seek(0)
        assert errors.read() == ""
