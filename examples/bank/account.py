"""An account: what can be asked of it, and what can happen to it. Pure; knows no journal.

Money that is sent leaves one account before it arrives in another, so a transfer takes two accounts and the process
between them (`transfer.py`):

    SendMoney        -> MoneySent, FeesDeducted        at the sender
    ReceiveMoney     -> MoneyReceived or MoneyRefused  at the receiver
    CompleteTransfer -> TransferCompleted              at the sender, if it was received
    ReturnMoney      -> MoneyReturned, FeesReturned    at the sender, if it was refused

A command that is rejected leaves nothing in the journal, and asked again it may be accepted: somebody may have opened
the account meanwhile. That will do for whoever asks and looks at the answer. It will not do for money under way: it
must not be given back by one who was told "no" while another is told "yes". So `ReceiveMoney` is not rejected, it is
answered with an event, and the first answer stands for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from calliope import event
from calliope.domain import Decider, Rejection, Specification, specification
from examples.bank.identities import AccountId, TransferId
from examples.bank.money import NOTHING, checked_amount

FEE = Decimal("0.25")
"""What the sender pays for a transfer."""

TRANSFER_MIN = Decimal("1.00")


@event("bank.account-opened")
@dataclass(frozen=True)
class AccountOpened:
    opening_balance: Decimal


@event("bank.account-closed")
@dataclass(frozen=True)
class AccountClosed:
    pass


@event("bank.money-sent")
@dataclass(frozen=True)
class MoneySent:
    transfer: TransferId
    sender: AccountId
    receiver: AccountId
    amount: Decimal


@event("bank.fees-deducted")
@dataclass(frozen=True)
class FeesDeducted:
    transfer: TransferId
    amount: Decimal


@event("bank.money-received")
@dataclass(frozen=True)
class MoneyReceived:
    transfer: TransferId
    sender: AccountId
    amount: Decimal


@event("bank.money-refused")
@dataclass(frozen=True)
class MoneyRefused:
    transfer: TransferId
    sender: AccountId
    reasons: tuple[str, ...]


@event("bank.transfer-completed")
@dataclass(frozen=True)
class TransferCompleted:
    transfer: TransferId


@event("bank.money-returned")
@dataclass(frozen=True)
class MoneyReturned:
    transfer: TransferId
    amount: Decimal
    reasons: tuple[str, ...]


@event("bank.fees-returned")
@dataclass(frozen=True)
class FeesReturned:
    transfer: TransferId
    amount: Decimal


AccountEvent = (
    AccountOpened
    | AccountClosed
    | MoneySent
    | FeesDeducted
    | MoneyReceived
    | MoneyRefused
    | TransferCompleted
    | MoneyReturned
    | FeesReturned
)


@dataclass(frozen=True)
class OpenAccount:
    opening_balance: Decimal


@dataclass(frozen=True)
class CloseAccount:
    pass


@dataclass(frozen=True)
class SendMoney:
    transfer: TransferId
    sender: AccountId
    receiver: AccountId
    amount: Decimal


@dataclass(frozen=True)
class ReceiveMoney:
    transfer: TransferId
    sender: AccountId
    amount: Decimal


@dataclass(frozen=True)
class CompleteTransfer:
    transfer: TransferId


@dataclass(frozen=True)
class ReturnMoney:
    transfer: TransferId
    reasons: tuple[str, ...]


AccountCommand = OpenAccount | CloseAccount | SendMoney | ReceiveMoney | CompleteTransfer | ReturnMoney


@dataclass(frozen=True)
class Underway:
    """Money that has left the account and not arrived anywhere."""

    transfer: TransferId
    amount: Decimal


@event("bank.account")  # the name under which snapshots are stored
@dataclass(frozen=True)
class Account:
    is_open: bool = False
    was_closed: bool = False
    balance: Decimal = NOTHING
    underway: tuple[Underway, ...] = ()


exists: Specification[Account] = specification(
    lambda account: account.is_open or account.was_closed,
    "the account does not exist",
    opposite="the account exists already",
)
is_not_closed: Specification[Account] = specification(lambda account: not account.was_closed, "the account is closed")
is_empty: Specification[Account] = specification(
    lambda account: account.balance == 0, lambda account: f"there are {account.balance} in the account"
)
is_settled: Specification[Account] = specification(
    lambda account: not account.underway, lambda account: f"transfers are under way: {len(account.underway)}"
)

is_to_somebody_else: Specification[SendMoney] = specification(
    lambda transfer: transfer.sender != transfer.receiver, "money cannot be sent to the account that it comes from"
)
is_enough: Specification[SendMoney] = specification(
    lambda transfer: transfer.amount >= TRANSFER_MIN,
    lambda transfer: f"at least {TRANSFER_MIN} must be sent, not {transfer.amount}",
)


def covers(amount: Decimal) -> Specification[Account]:
    """Return that an account has an amount and the fee for its transfer."""
    return specification(
        lambda account: account.balance >= amount + FEE,
        lambda account: f"{amount} and a fee of {FEE} are more than the balance of {account.balance}",
    )


def decide(command: AccountCommand, account: Account) -> AccountEvent | Sequence[AccountEvent]:
    match command:
        case OpenAccount(opening_balance):
            (~exists).check(account)
            return AccountOpened(_opening(opening_balance))
        case CloseAccount():
            (exists & is_not_closed & is_empty & is_settled).check(account)
            return AccountClosed()
        case SendMoney():
            return _sent(command, account)
        case ReceiveMoney(transfer, sender, amount):
            reasons = (exists & is_not_closed).reasons(account)
            return MoneyRefused(transfer, sender, reasons) if reasons else MoneyReceived(transfer, sender, amount)
        case CompleteTransfer(transfer):
            _underway(transfer, account)
            return TransferCompleted(transfer)
        case ReturnMoney(transfer, reasons):
            amount = _underway(transfer, account).amount
            return [MoneyReturned(transfer, amount, reasons), FeesReturned(transfer, FEE)]


def evolve(account: Account, happened: AccountEvent) -> Account:
    match happened:
        case AccountOpened(opening_balance):
            return replace(account, is_open=True, balance=opening_balance)
        case AccountClosed():
            return replace(account, is_open=False, was_closed=True)
        case MoneySent(transfer, amount=amount):
            underway = (*account.underway, Underway(transfer, amount))
            return replace(account, balance=account.balance - amount, underway=underway)
        case FeesDeducted(amount=amount):
            return replace(account, balance=account.balance - amount)
        case MoneyReceived(amount=amount) | FeesReturned(amount=amount):
            return replace(account, balance=account.balance + amount)
        case MoneyRefused():
            return account
        case TransferCompleted(transfer):
            return _settled(account, transfer)
        case MoneyReturned(transfer, amount):
            return replace(_settled(account, transfer), balance=account.balance + amount)


ACCOUNT = Decider[Account, AccountCommand, AccountEvent](Account(), decide, evolve)


def _opening(balance: Decimal) -> Decimal:
    checked = checked_amount("the opening balance", balance)
    if checked < 0:
        raise Rejection(f"an account cannot be opened with less than nothing, {checked}")
    return checked


def _sent(command: SendMoney, account: Account) -> Sequence[AccountEvent]:
    amount = checked_amount("the amount", command.amount)
    (exists & is_not_closed).check(account)
    reasons = (
        *(is_to_somebody_else & is_enough).reasons(command),
        *covers(amount).reasons(account),
    )
    if reasons:
        raise Rejection(*reasons)
    sent = MoneySent(command.transfer, command.sender, command.receiver, amount)
    return [sent, FeesDeducted(command.transfer, FEE)]


def _underway(transfer: TransferId, account: Account) -> Underway:
    for underway in account.underway:
        if underway.transfer == transfer:
            return underway
    raise Rejection(f"{transfer} is not under way")


def _settled(account: Account, transfer: TransferId) -> Account:
    return replace(account, underway=tuple(each for each in account.underway if each.transfer != transfer))
