"""A process that executes commands on aggregates which others use too, and says what came of each.

python -m tests.integration.commanding URL NAME COMMANDS AGGREGATES

It says "ready", and begins when it is given a line. Each command claims the next few tickets of a raffle. For every
command it prints a line: the command id, and then the stream and the sequence numbers of its events, or "refused".
"""

import asyncio
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass

from calliope import Journal
from calliope.domain import Decider, Rejection, Repository

CALLERS = 16


@dataclass(frozen=True)
class Claimed:
    """A ticket was given to a command."""

    command: str
    ticket: int


@dataclass(frozen=True)
class Claim:
    """Asks for so many of the next tickets."""

    command: str
    tickets: int


@dataclass(frozen=True)
class Raffle:
    """How many tickets are gone."""

    claimed: int = 0


def decide(claim: Claim, raffle: Raffle) -> list[Claimed]:
    if claim.tickets > 3:
        raise Rejection("nobody gets more than three")
    return [Claimed(claim.command, raffle.claimed + number) for number in range(1, claim.tickets + 1)]


def evolve(raffle: Raffle, event: Claimed) -> Raffle:
    if event.ticket != raffle.claimed + 1:
        raise AssertionError(f"ticket {event.ticket} was given when {raffle.claimed} were gone")
    return Raffle(event.ticket)


RAFFLE = Decider[Raffle, Claim, Claimed](Raffle(), decide, evolve)


async def claim(journal: Journal, name: str, commands: int, aggregates: int, tell: Callable[[str], object]) -> None:
    """Execute so many commands on random aggregates, and tell what came of each."""
    repository = Repository(
        journal, RAFFLE, Claimed, state_type=Raffle, snapshot_every=20, cached_aggregates_max=aggregates // 2,
        conflict_retries=100,
    )  # fmt: skip
    chance = random.Random(name)

    async def call(numbers: range) -> None:
        for number in numbers:
            command_id, stream_id = f"{name}-{number}", f"raffle-{chance.randrange(aggregates)}"
            try:
                executed = await repository.execute(
                    stream_id, Claim(command_id, chance.randint(1, 4)), command_id=command_id
                )
            except Rejection:
                tell(f"{command_id} refused")
            else:
                first = executed.version - len(executed.events) + 1
                tell(f"{command_id} {stream_id} {' '.join(map(str, range(first, executed.version + 1)))}")

    async with asyncio.TaskGroup() as tasks:
        for caller in range(CALLERS):
            tasks.create_task(call(range(caller, commands, CALLERS)))


async def main(url: str, name: str, commands: int, aggregates: int) -> None:
    async with Journal.open(url) as journal:
        print("ready", flush=True)
        sys.stdin.readline()
        await claim(journal, name, commands, aggregates, lambda line: print(line, flush=True))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
