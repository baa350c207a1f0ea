"""The aggregate that these tests are about."""

from dataclasses import dataclass
from typing import Any

from calliope import Journal
from calliope.domain import Decider, Rejection, Repository


@dataclass(frozen=True)
class Opened:
    owner: str


@dataclass(frozen=True)
class Deposited:
    amount: int


@dataclass(frozen=True)
class Withdrawn:
    amount: int


AccountEvent = Opened | Deposited | Withdrawn


@dataclass(frozen=True)
class Open:
    owner: str


@dataclass(frozen=True)
class Deposit:
    amount: int


@dataclass(frozen=True)
class Withdraw:
    amount: int


Command = Open | Deposit | Withdraw


@dataclass(frozen=True)
class Account:
    owner: str = ""
    balance: int = 0


class Overdraft(Rejection):
    """There is not so much."""


def decide(command: Command, account: Account) -> AccountEvent | list[AccountEvent] | None:
    match command:
        case Open(owner):
            if account.owner:
                raise Rejection("the account is open already")
            return Opened(owner)
        case Deposit(amount):
            return Deposited(amount) if amount else None
        case Withdraw(amount):
            if amount > account.balance:
                raise Overdraft(f"the balance is {account.balance}")
            return [Withdrawn(1)] * amount


def evolve(account: Account, event: AccountEvent) -> Account:
    match event:
        case Opened(owner):
            return Account(owner)
        case Deposited(amount):
            return Account(account.owner, account.balance + amount)
        case Withdrawn(amount):
            return Account(account.owner, account.balance - amount)


ACCOUNT = Decider[Account, Command, AccountEvent](Account(), decide, evolve)


def accounts(journal: Journal, **options: Any) -> Repository[Account, Command, AccountEvent]:
    return Repository(journal, ACCOUNT, AccountEvent, **options)


async def events_of(journal: Journal, stream_id: str) -> list[AccountEvent]:
    return await journal.event_stream(stream_id, AccountEvent).query().run_collect()
