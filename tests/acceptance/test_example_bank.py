"""The bank of `examples/bank`, driven from outside, killed, and its parts in scenarios."""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calliope import Journal
from calliope.domain import Complete, Projection, Rejection, Send
from calliope.domain.projection_testing import In, ProjectionSubject, Rows
from calliope.domain.testing import AsyncScenario, ProcessSubject, Scenario
from examples.bank.__main__ import main, request_in
from examples.bank.account import (
    ACCOUNT,
    AccountClosed,
    AccountEvent,
    AccountOpened,
    CloseAccount,
    CompleteTransfer,
    FeesDeducted,
    FeesReturned,
    MoneyReceived,
    MoneyRefused,
    MoneyReturned,
    MoneySent,
    OpenAccount,
    ReceiveMoney,
    ReturnMoney,
    SendMoney,
    TransferCompleted,
)
from examples.bank.bank import Bank
from examples.bank.identities import AccountId, TransferId
from examples.bank.revenue import Revenue, revenue_of
from examples.bank.transfer import TRANSFER

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 120
ADA, GRACE, NOBODY = (AccountId.from_name(name) for name in ("ada", "grace", "nobody"))
RENT = TransferId.from_name("rent")
TEN, FEE = Decimal("10.00"), Decimal("0.25")

KILLED_BY_ITSELF = """
import os, signal, sys
import anyio
from calliope import Journal
from examples.bank.account import MoneyReceived
from examples.bank.bank import Bank

async def main(path, after):
    async with Journal.open(path) as journal, Bank(journal).running():
        received = journal.live_records(after, types=MoneyReceived, event_type=MoneyReceived)
        await received.take(3).run_drain()
        os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main, sys.argv[1], int(sys.argv[2]))
"""
"""Settles transfers and has itself killed in the middle, however fast or slow the machine is."""

TOLD = """\
open ada 509.23: opened with 509.23
open grace 30.45: opened with 30.45
transfer ada grace 125.23: received
balance ada: 383.75
balance grace: 155.68
revenue: 0.25 from 1 transaction
open edsger -1.00: rejected, an account cannot be opened with less than nothing, -1.00
transfer grace ada 0.99: rejected, at least 1.00 must be sent, not 0.99
transfer grace ada 155.68: rejected, 155.68 and a fee of 0.25 are more than the balance of 155.68
transfer grace grace 5.00: rejected, money cannot be sent to the account that it comes from
transfer grace nobody 5.00: rejected, the account does not exist; the money was returned
balance grace: 155.68
revenue: 0.25 from 1 transaction
"""


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "examples.bank", *map(str, arguments)]


def bank(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )


# From outside.


def test_the_walkthrough_is_told_with_one_command_as_the_readme_has_it() -> None:
    told = bank()
    assert (told.returncode, told.stderr, told.stdout) == (0, "", TOLD)
    assert TOLD in (ROOT / "examples/bank/README.md").read_text()


def test_a_storage_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="redis://localhost"):
        anyio.run(main, request_in(["--journal", "redis://localhost", "revenue"]))


def test_money_is_kept_where_the_url_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(line: str) -> str:
        anyio.run(main, request_in(["--journal", f"sqlite:///{tmp_path / 'bank.db'}", *line.split()]))
        return capsys.readouterr().out.strip()

    assert said("open ada 509.23") == "opened with 509.23"
    assert said("open grace 30.45") == "opened with 30.45"
    for _ in range(2):  # asked twice, made once
        assert said("transfer ada grace 125.23 --id rent") == "received"
    assert (said("balance ada"), said("balance grace")) == ("383.75", "155.68")
    assert said("revenue") == "0.25 from 1 transaction"
    assert said("settle") == "0 transfers settled"
    assert said("open edsger 0") == "opened with 0.00"
    assert said("close edsger") == "closed"
    for line, reasons in {
        "open ada 1.00": ("the account exists already",),
        "open linus 1.005": ("an amount must be in whole cents, and at most 1000000000, not 1.005",),
        "open linus NaN": ("an amount must be in whole cents, and at most 1000000000, not NaN",),
        "open linus much": ("'much' is no amount",),
        "balance nobody": ("the account does not exist",),
        "close ada": ("there are 383.75 in the account",),
        "transfer nobody ada 5.00": ("the account does not exist",),
        "transfer ada edsger 5.00": ("the account is closed", "the money was returned"),
    }.items():
        with pytest.raises(Rejection) as rejected:
            said(line)
        assert rejected.value.reasons == reasons
    assert (said("balance ada"), said("revenue")) == ("383.75", "0.25 from 1 transaction")


# Killed.


async def open_accounts(journal: Journal, transfers: int) -> None:
    """Have so many transfers sent while nobody carries them on; every fifth is to nobody."""
    closed = Bank(journal)
    await closed.open(ADA, Decimal("1000.00"))
    await closed.open(GRACE, Decimal("0.00"))
    for number in range(transfers):
        transfer = TransferId.from_name(str(number))
        receiver = NOBODY if number % 5 == 4 else GRACE
        await closed.execute(ADA, SendMoney(transfer, ADA, receiver, Decimal("1.00")), name=str(transfer))


async def events_of(journal: Journal) -> list[AccountEvent]:
    return [record.data async for record in journal.records(prefix="account-", event_type=AccountEvent)]


async def check_settled(journal: Journal, transfers: int) -> None:
    """Check that each transfer ended once, and that money is where it belongs, to the cent."""
    counted = Counter(type(event) for event in await events_of(journal))
    undone = transfers // 5
    for kind in (MoneySent, FeesDeducted):
        assert counted[kind] == transfers
    for kind in (MoneyReceived, TransferCompleted):
        assert counted[kind] == transfers - undone
    for kind in (MoneyRefused, MoneyReturned, FeesReturned):
        assert counted[kind] == undone
    async with Bank(journal).running() as open_again:
        ada, grace = await open_again.account(ADA), await open_again.account(GRACE)
        revenue = await open_again.revenue()
    assert grace.balance == transfers - undone
    assert revenue == Revenue(FEE * (transfers - undone), transfers - undone)
    assert ada.balance + grace.balance + revenue.total == Decimal("1000.00")
    assert (ada.underway, grace.underway) == ((), ())


async def last_received(path: Path, transfers: int) -> int:
    """Return the position of the last money that was received; some must still be under way."""
    async with Journal.open(path) as journal:
        kinds = Counter(type(event) for event in await events_of(journal))
        assert kinds[TransferCompleted] + kinds[MoneyReturned] < transfers
        return (await journal.records(types=MoneyReceived, event_type=MoneyReceived).run_collect())[-1].position


async def kill_in_the_middle(path: Path, transfers: int, kills: int) -> None:
    """Have a program settle transfers, and kill it whenever it has settled a few; the last one may finish."""
    async with Journal.open(path) as journal:
        await open_accounts(journal, transfers)
    position = 0
    for _ in range(kills):
        with anyio.fail_after(LIMIT_SECONDS):
            killed = await anyio.run_process(
                [sys.executable, "-c", KILLED_BY_ITSELF, str(path), str(position)], cwd=ROOT, check=False
            )
        assert (killed.returncode, killed.stderr) == (-signal.SIGKILL, b"")
        position = await last_received(path, transfers)
    with anyio.fail_after(LIMIT_SECONDS):
        settled = await anyio.run_process(command("--journal", path, "settle"), cwd=ROOT)
    assert settled.stderr == b""
    async with Journal.open(path) as journal:
        await check_settled(journal, transfers)


def test_killed_in_the_middle_of_transfers_money_is_neither_lost_nor_doubled(tmp_path: Path) -> None:
    anyio.run(kill_in_the_middle, tmp_path / "bank.db", 30, 1)


@pytest.mark.soak
def test_killed_a_dozen_times_in_the_middle_of_transfers_money_is_neither_lost_nor_doubled(tmp_path: Path) -> None:
    anyio.run(kill_in_the_middle, tmp_path / "bank.db", 400, 12)


async def stopped_at(position: int) -> bool:
    """Stop a bank when its journal has come to a position; let another go on. Return whether it got there."""
    async with Journal.open("memory://") as journal:
        await open_accounts(journal, 5)
        reached = False
        async with anyio.create_task_group() as tasks, Bank(journal, "bank").running() as stopped:

            async def stop() -> None:
                nonlocal reached
                await journal.live_records(position - 1).run_first()
                reached = True
                tasks.cancel_scope.cancel()

            tasks.start_soon(stop)
            await stopped.settle()
            tasks.cancel_scope.cancel()
        async with Bank(journal, "bank").running() as going_on:
            await going_on.settle()
        await check_settled(journal, 5)
        return reached


def test_stopped_in_the_middle_money_is_neither_lost_nor_doubled() -> None:
    position = 13  # where everything is sent and nothing received
    while anyio.run(stopped_at, position):
        position += 2
    assert position > 13 + 5 * 5


transfers = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["a", "b", "c", "nobody"]), st.integers(50, 2_000)),
    max_size=8,
)


@settings(max_examples=15, deadline=None)
@given(transfers)
def test_transfers_at_the_same_time_move_money_and_make_none(asked: Sequence[tuple[str, str, int]]) -> None:
    async def check() -> None:
        accounts = [AccountId.from_name(name) for name in "abc"]
        async with Journal.open("memory://") as journal, Bank(journal).running() as busy:

            async def transfer(sender: str, receiver: str, cents: int) -> None:
                try:
                    amount = Decimal(cents) / 100
                    await busy.transfer(AccountId.from_name(sender), AccountId.from_name(receiver), amount)
                except Rejection:
                    return

            for account_id in accounts:
                await busy.open(account_id, Decimal("20.00"))
            async with anyio.create_task_group() as callers:
                for each in asked:
                    callers.start_soon(transfer, *each)
            balances = [(await busy.account(account_id)).balance for account_id in accounts]
            assert min(balances) >= 0
            assert sum(balances) + (await busy.revenue()).total == Decimal("60.00")

    anyio.run(check)


# In scenarios.

account = Scenario(ACCOUNT)
OPENED = AccountOpened(TEN)
SENT: list[Any] = [MoneySent(RENT, ADA, GRACE, Decimal("5.00")), FeesDeducted(RENT, FEE)]


def send(amount: str, receiver: AccountId = GRACE) -> SendMoney:
    return SendMoney(RENT, ADA, receiver, Decimal(amount))


def test_an_account_is_opened_once_with_no_less_than_nothing() -> None:
    account.when(OpenAccount(Decimal(10))).then(AccountOpened(TEN))
    account.given(OPENED).when(OpenAccount(TEN)).rejected("the account exists already")
    account.when(OpenAccount(Decimal("-0.01"))).rejected("an account cannot be opened with less than nothing, -0.01")


@pytest.mark.parametrize("amount", ["0.001", "NaN", "Infinity", "1000000000.01", "sNaN"])
def test_what_is_no_amount_of_money_is_refused(amount: str) -> None:
    account.when(OpenAccount(Decimal(amount))).rejected(
        f"the opening balance must be in whole cents, and at most 1000000000, not {amount}"
    )
    account.given(OPENED).when(send(amount)).rejected(
        f"the amount must be in whole cents, and at most 1000000000, not {amount}"
    )


def test_the_sender_pays_the_amount_and_the_fee() -> None:
    account.given(OPENED).when(send("5.00")).then(SENT)
    account.given(OPENED).when(send("9.75")).then(MoneySent(RENT, ADA, GRACE, Decimal("9.75")), FeesDeducted(RENT, FEE))
    account.given(OPENED).when(send("9.76")).rejected("9.76 and a fee of 0.25 are more than the balance of 10.00")


def test_all_reasons_against_a_transfer_are_told_at_once() -> None:
    account.given(AccountOpened(Decimal("0.10"))).when(send("0.99", ADA)).rejected(
        "money cannot be sent to the account that it comes from",
        "at least 1.00 must be sent, not 0.99",
        "0.99 and a fee of 0.25 are more than the balance of 0.10",
    )


def test_a_receiver_answers_with_an_event_either_way() -> None:
    receive = ReceiveMoney(RENT, ADA, TEN)
    account.given(OPENED).when(receive).then(MoneyReceived(RENT, ADA, TEN))
    account.when(receive).then(MoneyRefused(RENT, ADA, ("the account does not exist",)))
    closed = account.given(AccountOpened(Decimal(0)), AccountClosed())
    closed.when(receive).then(MoneyRefused(RENT, ADA, ("the account is closed",)))


def test_money_comes_back_with_the_fee_once() -> None:
    back = ReturnMoney(RENT, ("no",))
    returned: list[AccountEvent] = [MoneyReturned(RENT, Decimal("5.00"), ("no",)), FeesReturned(RENT, FEE)]
    account.given(OPENED, *SENT).when(back).then(returned)
    assert ACCOUNT.state_of([OPENED, *SENT, *returned]).balance == TEN
    account.given(OPENED, *SENT, *returned).when(back).rejected(f"{RENT} is not under way")
    account.given(OPENED, *SENT, TransferCompleted(RENT)).when(back).rejected(f"{RENT} is not under way")


def test_an_account_with_money_in_it_or_under_way_stays_open() -> None:
    account.given(OPENED).when(CloseAccount()).rejected("there are 10.00 in the account")
    emptied = AccountOpened(Decimal("5.25"))
    account.given(emptied, *SENT).when(CloseAccount()).rejected("transfers are under way: 1")
    account.given(emptied, *SENT, TransferCompleted(RENT)).when(CloseAccount()).then(AccountClosed())


transfer = Scenario(ProcessSubject(TRANSFER))


def test_money_that_is_sent_is_offered_to_the_receiver() -> None:
    transfer.when(SENT[0]).then(Send(ReceiveMoney(RENT, ADA, Decimal("5.00")), to=str(GRACE)))


def test_a_transfer_is_completed_when_the_money_is_received() -> None:
    received = MoneyReceived(RENT, ADA, Decimal("5.00"))
    transfer.given(SENT[0]).when(received).then(Send(CompleteTransfer(RENT), to=str(ADA)), Complete())


def test_a_transfer_is_compensated_when_the_money_is_refused() -> None:
    refused = MoneyRefused(RENT, ADA, ("the account is closed",))
    back = Send(ReturnMoney(RENT, ("the account is closed",)), to=str(ADA))
    transfer.given(SENT[0]).when(refused).then(back, Complete())


def revenues(journal: Journal) -> tuple[Projection[Revenue], Rows[Revenue]]:
    projection, view = revenue_of(journal)
    return projection, lambda: [view.view]


def test_revenue_counts_the_fees_of_transfers_that_stand() -> None:
    async def check() -> None:
        revenue = AsyncScenario(ProjectionSubject(revenues))
        deducted, returned = In(str(ADA), FeesDeducted(RENT, FEE)), In(str(ADA), FeesReturned(RENT, FEE))
        await revenue.given(deducted, deducted).then(Revenue(Decimal("0.50"), 2))
        await revenue.given(deducted, deducted).when(returned).then(Revenue(Decimal("0.25"), 1))

    anyio.run(check)
