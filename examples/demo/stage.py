"""`Stage`: what every act of the demonstration is given."""

from dataclasses import dataclass

from examples.demo.clerk import Clerk
from examples.demo.cluster import Cluster
from examples.demo.display import Display
from examples.demo.stores import Store
from examples.event_logs import Log


@dataclass(frozen=True)
class Stage:
    """What every act is given.

    Attributes:
        cluster: the three replicas.
        clerk: through whom all is written, so that it is noted.
        display: what the person sees.
        log: the event log that is replayed.
        store: what keeps the journals.
    """

    cluster: Cluster
    clerk: Clerk
    display: Display
    log: Log
    store: Store = Store.SQLITE
