"""The model of `test_replicated_postgres_model` on NATS: one of the three journals is in JetStream, opened twice."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests import nats
from tests.property.test_replicated_postgres_model import PostgresReplicatedJournals


@pytest.fixture(scope="module")
def machine() -> Iterator[type[PostgresReplicatedJournals]]:
    """Lend a machine whose journals are streams of one server."""
    with nats.server() as url:

        class Machine(PostgresReplicatedJournals):
            def new_url(self) -> str:
                return nats.url_of_journal(url, nats.new_journal())

        yield Machine


@pytest.mark.soak
def test_two_open_journals_of_one_stream_and_two_in_memory_do_what_the_model_does(machine):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
