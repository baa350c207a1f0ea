"""A replica as a process: commands come in by standard input, a JSON object a line; answers go to standard output.

    python -m examples.demo.replica_process JOURNAL REPLICA_ID CLUSTER [--listen HOST:PORT] [--peer HOST:PORT]

It lives no longer than the process that started it: when standard input ends, for whatever reason, it closes its node
and is gone.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator

import anyio

from calliope import CalliopeError, Journal
from calliope.journal import path_of
from examples.demo.ledger import Json
from examples.demo.replica import Replica
from examples.demo.severable_transport import SeverableTransport
from replication import Node, QuorumTimeoutError

LINE_BYTES_MAX = 64 * 1024 * 1024
"""The longest command."""

STATUS_SECONDS = 0.2
"""How often it says how it stands."""


async def serve(options: argparse.Namespace) -> None:
    """Be a replica until standard input ends."""
    commands = await _standard_input()
    transport = SeverableTransport(options.replica_id, cluster=options.cluster, listen=options.listen)
    node = Node(
        Journal.open(options.journal),
        transport,
        replica_id=options.replica_id,
        peers=options.peer,
        discovers=None if options.peer else options.cluster,
        file=path_of(options.journal),
    )
    async with node, anyio.create_task_group() as tasks:
        replica = Replica(node, transport, tasks, tell)
        tell("ready", node.address)
        tasks.start_soon(_tell_status, replica)
        while line := await commands.readline():
            tasks.start_soon(_carry_out, replica, json.loads(line))
        tasks.cancel_scope.cancel()


async def _carry_out(replica: Replica, command: Json) -> None:
    number = command.pop("number")
    try:
        answer = {"result": await getattr(replica, command.pop("do"))(**command)}
    except QuorumTimeoutError as error:
        answer = {"error": str(error), "acknowledged": error.acknowledged}
    except CalliopeError as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    _write({"number": number, **answer})


async def _tell_status(replica: Replica) -> None:
    while True:
        tell("status", await replica.status())
        await anyio.sleep(STATUS_SECONDS)


def tell(name: str, value: Json) -> None:
    """Tell the director something that it did not ask for."""
    _write({"tells": name, "value": value})


def _write(message: Json) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.demo.replica_process")
    parser.add_argument("journal")
    parser.add_argument("replica_id")
    parser.add_argument("cluster")
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--peer", action="append", default=[])
    failed = False
    try:
        anyio.run(serve, parser.parse_args())
    except* BrokenPipeError:  # the director is gone
        os._exit(1)
    except* CalliopeError as errors:
        tell("failed", "; ".join(map(str, _leaves(errors))))
        failed = True
    return int(failed)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


if __name__ == "__main__":
    sys.exit(main())
