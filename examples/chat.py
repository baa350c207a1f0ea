"""A chat without a server: every process keeps the whole conversation, and finds the others.

    python -m examples.chat --name ada --listen 127.0.0.1:7501
    python -m examples.chat --name grace --peer 127.0.0.1:7501
    python -m examples.chat --name edsger --discover

What one process prints, every process prints: a line as soon as it is here, once, and never before a line that its
writer had on the screen, so an answer stands below its question. Lines that were typed at the same time, by people who
did not see one another's, may stand in either order. When the input ends (Ctrl-D) the conversation is printed again in
one order, which is the same for all who hold the same lines. It is kept in a file, and goes on with the next start.
"""

import argparse
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio

from calliope import CalliopeError, RecordedEvent, Sink, Source, event
from replication import Node


@event("said")
@dataclass(frozen=True)
class Said:
    text: str


def show(record: RecordedEvent[Said]) -> None:
    print(f"{record.replica_id}: {record.data.text}", flush=True)


def place(record: RecordedEvent[Said]) -> tuple[int, str, str]:
    """How many lines its writer had seen, this one included: more than the writer of any line that it answers."""
    return sum(record.version.values()), record.replica_id, record.id


async def typed() -> AsyncIterator[str]:  # from a terminal or a pipe
    rest = b""
    while True:
        await anyio.wait_readable(sys.stdin)
        chunk = os.read(sys.stdin.fileno(), 65536)
        *lines, rest = (rest + chunk).split(b"\n") if chunk else (rest, b"")
        for line in lines:
            yield line.decode(errors="replace").strip()
        if not chunk:
            return


async def chat(arguments: argparse.Namespace) -> None:
    path = arguments.data or f"chat-{arguments.name}.db"
    places = {"listen": arguments.listen, "peers": arguments.peer, "discover": arguments.discover}
    async with Node.open(path, replica_id=arguments.name, cluster="chat", **places) as node:
        print(f"{arguments.name} listens at {node.address}", file=sys.stderr, flush=True)
        conversation = node.journal.replicated_event_stream("conversation", Said, replica_id=arguments.name)
        async with conversation.live_records().running(Sink.for_each(show)):  # what it yields, the writer has seen
            await Source.from_async(typed()).filter(bool).map(Said).run_for_each(conversation.persist)
        print("\nThe conversation:")
        for record in sorted(await conversation.records().run_collect(), key=place):
            show(record)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m examples.chat", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", required=True, help="who you are: one name, one file")
    parser.add_argument("--data", metavar="FILE", help="keeps the conversation; default chat-NAME.db")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="where others connect")
    parser.add_argument("--peer", action="append", default=[], metavar="HOST:PORT", help="where another listens")
    parser.add_argument("--discover", action="store_true", help="find the others on the local network")
    try:
        anyio.run(chat, parser.parse_args())
    except (CalliopeError, ValueError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
