"""What an author of event stores, or of code that uses them, tests with; it needs pytest (extra `testing`).

`EventStoreContract` checks everything that `calliope.stores.protocol` promises; `ManualClock` lets tests of an hour
take no time.
"""

import pytest

for name in ("append", "durable", "live", "read", "snapshot"):
    pytest.register_assert_rewrite(f"calliope.testing.{name}_contract")  # an assertion that fails shows its values
pytest.register_assert_rewrite("calliope.testing.everything")

from calliope.flow.clock import ManualClock  # noqa: E402 - after the registration
from calliope.testing.event_store_contract import DurableEventStoreContract, EventStoreContract  # noqa: E402

__all__ = ["DurableEventStoreContract", "EventStoreContract", "ManualClock"]
