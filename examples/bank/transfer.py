"""The process of a transfer, between two accounts. Pure.

    money sent     -> the receiver is asked to receive it
    money received -> the sender's account is told; the process ends
    money refused  -> the sender gets it back, with the fee; the process ends

Once money is sent the journal has it, so whoever is killed in between, the process goes on where it stopped.
"""

from collections.abc import Sequence

from calliope import RecordedEvent
from calliope.domain import Complete, Effect, Process, Send
from examples.bank.account import CompleteTransfer, MoneyReceived, MoneyRefused, MoneySent, ReceiveMoney, ReturnMoney
from examples.bank.identities import TransferId

TransferEvent = MoneySent | MoneyReceived | MoneyRefused
TransferCommand = ReceiveMoney | CompleteTransfer | ReturnMoney


def correlate(record: RecordedEvent[TransferEvent]) -> str:
    return str(record.data.transfer.uuid)


def react(stage: str, happened: TransferEvent) -> Effect | Sequence[Effect]:
    transfer_id: TransferId = happened.transfer
    match happened:
        case MoneySent(sender=sender, receiver=receiver, amount=amount):
            return Send(ReceiveMoney(transfer_id, sender, amount), to=str(receiver))
        case MoneyReceived(sender=sender):
            return [Send(CompleteTransfer(transfer_id), to=str(sender)), Complete()]
        case MoneyRefused(sender=sender, reasons=reasons):
            return [Send(ReturnMoney(transfer_id, reasons), to=str(sender)), Complete()]


def evolve(stage: str, happened: TransferEvent) -> str:
    return type(happened).__name__


TRANSFER = Process[str, TransferEvent]("", correlate, react, evolve)
