"""`Bank`: the accounts of one journal, the transfers between them, and the revenue."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Self

from calliope import Journal
from calliope.domain import ProcessManager, Repository
from examples.bank.account import (
    ACCOUNT,
    Account,
    AccountCommand,
    AccountEvent,
    MoneyReturned,
    MoneySent,
    OpenAccount,
    SendMoney,
    TransferCompleted,
    exists,
)
from examples.bank.identities import AccountId, TransferId
from examples.bank.revenue import Revenue, revenue_of
from examples.bank.transfer import TRANSFER, TransferCommand, TransferEvent

SNAPSHOT_EVERY = 100
TAKEOVER_SECONDS = 1.0
"""After how long the transfers of a bank that was killed are taken up by another."""

Settlement = TransferCompleted | MoneyReturned
"""How a transfer ends."""


class Bank:
    """A bank in a program; there may be others, in other programs, on the same journal.

    Args:
        journal: the open journal.
        instance: names the bank, so that it goes on at once with what a killed one of the same name left under way.
            Never run two of one name at once.
    """

    def __init__(self, journal: Journal, instance: str | None = None) -> None:
        self._journal = journal
        self._accounts = Repository(journal, ACCOUNT, AccountEvent, state_type=Account, snapshot_every=SNAPSHOT_EVERY)
        self._transfers = ProcessManager(
            journal,
            "transfer",
            TRANSFER,
            events=TransferEvent,
            commands=TransferCommand,
            deliver=self._accounts.execute,
            instance=instance,
            takeover_seconds=TAKEOVER_SECONDS,
        )
        self._projection, self._view = revenue_of(journal)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Settle transfers and add up the revenue while the block lasts."""
        async with self._projection.running(), self._transfers.running():
            yield self

    async def open(self, account_id: AccountId, opening_balance: Decimal) -> Account:
        """Open an account; raise `Rejection` if that cannot be."""
        return await self.execute(account_id, OpenAccount(opening_balance))

    async def execute(self, account_id: AccountId, command: AccountCommand, *, name: str | None = None) -> Account:
        """Carry out a command and return the account after it; raise `Rejection` if it is refused.

        Args:
            account_id: whose account.
            command: what to do.
            name: asked again under the same name it is not done twice.
        """
        return (await self._accounts.execute(account_id, command, command_id=name)).state

    async def transfer(
        self, sender: AccountId, receiver: AccountId, amount: Decimal, transfer: TransferId | None = None
    ) -> Settlement:
        """Transfer money, and return how it ended: it was received, or returned with the reasons.

        Args:
            sender: from where.
            receiver: where to.
            amount: how much.
            transfer: asking again for the same transfer moves nothing and tells how it ended.

        Raises:
            Rejection: nothing was sent.

        Cancellation after the money is sent leaves it under way; whichever bank runs next settles it.
        """
        transfer = transfer or TransferId.new()
        await self.execute(sender, SendMoney(transfer, sender, receiver, amount), name=str(transfer))
        return await self.settlement(sender, transfer)

    async def settlement(self, sender: AccountId, transfer: TransferId) -> Settlement:
        """Return how a transfer ended, as soon as it has."""
        events = self._journal.event_stream(str(sender), AccountEvent).live_query()
        settlements = events.filter(lambda event: isinstance(event, Settlement) and event.transfer == transfer)
        settlement = await settlements.run_first()
        assert isinstance(settlement, Settlement)
        return settlement

    async def settle(self) -> int:
        """Wait until all transfers that are under way now are settled; return how many there were."""
        underway: dict[TransferId, AccountId] = {}
        async for record in self._journal.records(prefix="account-", event_type=AccountEvent):
            match record.data:
                case MoneySent(transfer, sender):
                    underway[transfer] = sender
                case TransferCompleted(transfer) | MoneyReturned(transfer):
                    del underway[transfer]
        for transfer, sender in underway.items():
            await self.settlement(sender, transfer)
        return len(underway)

    async def account(self, account_id: AccountId) -> Account:
        """Return an account; raise `Rejection` if there is none."""
        account = (await self._accounts.load(account_id)).state
        exists.check(account)
        return account

    async def revenue(self) -> Revenue:
        """Return what the bank has earned by all that is stored now."""
        await self._projection.wait_for((await self._projection.status()).head)
        return self._view.view
