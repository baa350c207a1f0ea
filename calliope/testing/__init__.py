"""What an author of event stores, or of code that uses them, tests with; it needs pytest (extra `testing`).

`EventStoreContract` checks everything that `calliope.stores.protocol` promises; `ManualClock` lets tests of an hour
take no time. `ReplicaStoreContract` checks what `calliope.stores.replica_store` promises besides.
"""

import pytest

pytest.register_assert_rewrite(  # an assertion that fails shows its values
    *[f"calliope.testing.{part}_contract" for part in ("append", "durable", "live", "read", "replica", "snapshot")],
    "calliope.testing.everything",
)

from calliope.flow.clock import ManualClock  # noqa: E402 - after the registration
from calliope.testing.event_store_contract import (  # noqa: E402
    DurableEventStoreContract,
    DurableReplicaStoreContract,
    EventStoreContract,
    ReplicaStoreContract,
)

__all__ = [
    "DurableEventStoreContract",
    "DurableReplicaStoreContract",
    "EventStoreContract",
    "ManualClock",
    "ReplicaStoreContract",
]
