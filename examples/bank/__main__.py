"""The bank on the command line. Without a command, Akkatecture's walkthrough: two accounts, a transfer, the revenue.

    python -m examples.bank
    python -m examples.bank --journal bank.db open ada 509.23
    python -m examples.bank --journal bank.db transfer ada grace 125.23 --id rent-in-may
    python -m examples.bank --journal bank.db balance ada
    python -m examples.bank --journal bank.db revenue

It exits with 1 if a command is rejected or a transfer is returned, and says why.
"""

import argparse
import sys
from collections.abc import Sequence

import anyio

from calliope import CalliopeError, Journal
from calliope.domain import Rejection
from examples.bank.account import CloseAccount, MoneyReturned
from examples.bank.bank import Bank, Settlement
from examples.bank.identities import AccountId, TransferId
from examples.bank.money import amount_in

STORY: Sequence[str] = (
    "open ada 509.23",
    "open grace 30.45",
    "transfer ada grace 125.23",
    "balance ada",
    "balance grace",
    "revenue",
    "open edsger -1.00",
    "transfer grace ada 0.99",
    "transfer grace ada 155.68",
    "transfer grace grace 5.00",
    "transfer grace nobody 5.00",
    "balance grace",
    "revenue",
)


class Clerk:
    """Carries out what people write.

    Args:
        bank: where.
    """

    def __init__(self, bank: Bank) -> None:
        self._bank = bank

    async def answer(self, request: argparse.Namespace) -> str:
        """Do what is asked for, and say what came of it; raise `Rejection` if it is refused."""
        match request.command:
            case "open":
                account = await self._bank.open(_account(request.name), amount_in(request.amount))
                return f"opened with {account.balance}"
            case "close":
                await self._bank.execute(_account(request.name), CloseAccount())
                return "closed"
            case "transfer":
                return _told(await self._transfer(request))
            case "balance":
                return await self._balance(_account(request.name))
            case "revenue":
                revenue = await self._bank.revenue()
                return f"{revenue.total} from {_counted(revenue.transactions, 'transaction')}"
            case _:
                return f"{_counted(await self._bank.settle(), 'transfer')} settled"

    async def _transfer(self, request: argparse.Namespace) -> Settlement:
        transfer = None if request.id is None else TransferId.from_name(request.id)
        amount = amount_in(request.amount)
        return await self._bank.transfer(_account(request.sender), _account(request.receiver), amount, transfer)

    async def _balance(self, account_id: AccountId) -> str:
        account = await self._bank.account(account_id)
        underway = sum(each.amount for each in account.underway)
        return f"{account.balance}, and {underway} under way" if underway else str(account.balance)


async def tell(clerk: Clerk) -> None:
    """Let the walkthrough happen."""
    for line in STORY:
        try:
            print(f"{line}: {await clerk.answer(request_in(line.split()))}")
        except Rejection as rejection:
            print(f"{line}: rejected, {rejection}")


async def main(request: argparse.Namespace) -> None:
    async with Journal.open(request.journal) as journal, Bank(journal).running() as bank:
        if request.command is None:
            await tell(Clerk(bank))
        else:
            print(await Clerk(bank).answer(request))


def request_in(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.bank", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--journal", default="memory://", help="where money is kept: a path, sqlite:///… or memory://")
    commands = parser.add_subparsers(dest="command")
    opening = commands.add_parser("open", help="open an account")
    opening.add_argument("name")
    opening.add_argument("amount")
    for name, what in (("close", "close an empty account"), ("balance", "show what is in an account")):
        commands.add_parser(name, help=what).add_argument("name")
    transferring = commands.add_parser("transfer", help="transfer money from one account to another")
    for name in ("sender", "receiver", "amount"):
        transferring.add_argument(name)
    transferring.add_argument("--id", help="names the transfer; asked for again it is not made twice")
    commands.add_parser("revenue", help="show what the bank has earned")
    commands.add_parser("settle", help="wait until no transfer is under way any more")
    return parser.parse_args(arguments)


def _account(name: str) -> AccountId:
    return AccountId.from_name(name)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _told(settlement: Settlement) -> str:
    if isinstance(settlement, MoneyReturned):
        raise Rejection(*settlement.reasons, "the money was returned")
    return "received"


if __name__ == "__main__":
    try:
        anyio.run(main, request_in(None))
    except (Rejection, CalliopeError, ValueError) as error:
        sys.exit(f"rejected: {error}" if isinstance(error, Rejection) else str(error))
