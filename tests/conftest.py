import signal
from collections.abc import Iterator

import pytest

from tests.postgres import server


def pytest_configure() -> None:
    """Let processes that tests start be interrupted, also when the tests run in the background of a shell.

    Such a shell has them ignore SIGINT, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every asynchronous test runs on both event loops."""
    return str(request.param)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server for all tests that treat it well, each in schemas of its own."""
    with server(waits_for_disk=False) as url:
        yield url
