"""The test kit tells stories about processes, too."""

from datetime import timedelta

import pytest

from calliope.domain.process import CancelDeadline, Complete, Process, Rejected, Send, SetDeadline
from calliope.domain.testing import Scenario
from calliope.domain.testing.process_subject import DeadlinePassed, ProcessSubject
from tests.unit.domain.payments import (
    Cancel,
    Confirmed,
    Notify,
    Paid,
    PaymentMissed,
    Ship,
    correlate,
    evolve,
    payment,
    react,
)

order = Scenario(ProcessSubject(payment))
deadline = SetDeadline("payment", PaymentMissed("17"), after=timedelta(minutes=15))
ship = Send(Ship("17"), to="order-17")
cancel = Send(Cancel("17"), to="order-17")


def test_the_first_event_sets_a_deadline() -> None:
    order.when(Confirmed("17")).then(deadline)


def test_a_payment_ships() -> None:
    order.given(Confirmed("17")).when(Paid("17")).then(CancelDeadline("payment"), ship)


def test_a_deadline_that_passes_brings_its_event() -> None:
    order.given(Confirmed("17")).when(DeadlinePassed("payment")).then(cancel, Complete())


def test_a_deadline_that_was_cancelled_brings_nothing() -> None:
    order.given(Confirmed("17"), Paid("17")).when(DeadlinePassed("payment")).then()


def test_a_completed_process_does_nothing() -> None:
    order.given(Confirmed("17"), DeadlinePassed("payment")).when(Paid("17")).then()


def test_a_rejection_brings_what_the_process_makes_of_it() -> None:
    rejected = Rejected(Ship("17"), "order-17", ("sold out",))
    order.given(Paid("17")).when(rejected).then(Send(Notify("17", "sold out"), to="desk"), Complete())
    Scenario(ProcessSubject(Process((), correlate, react, evolve))).when(rejected).then()


def test_what_differs_is_shown() -> None:
    with pytest.raises(AssertionError, match="Ship"):
        order.given(Confirmed("17")).when(Paid("17")).then(cancel)
