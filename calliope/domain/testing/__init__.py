"""Tests of a domain as sentences: `given(events).when(command).then(events)`, or `.rejected(reasons)`.

    account = Scenario(decider)

    def test_nobody_overdraws():
        account.given(Opened(5)).when(Withdraw(9)).rejected("the balance is 5")

Whatever reacts to something can be put into scenarios: a decider as it is, everything else by the one method of
`Subject`, or of `AsyncSubject`. It needs no fixtures and no plugin, and a failure shows the story and what differs.
"""

from calliope.domain.testing.async_scenario import AsyncOutcome, AsyncPast, AsyncScenario
from calliope.domain.testing.process_subject import DeadlinePassed, ProcessSubject
from calliope.domain.testing.scenario import Outcome, Past, Scenario
from calliope.domain.testing.story import Story
from calliope.domain.testing.subjects import AsyncSubject, Subject

__all__ = [
    "AsyncOutcome",
    "AsyncPast",
    "AsyncScenario",
    "AsyncSubject",
    "DeadlinePassed",
    "Outcome",
    "Past",
    "ProcessSubject",
    "Scenario",
    "Story",
    "Subject",
]
