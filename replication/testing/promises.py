"""What is promised whatever goes wrong, and the error that says that it was not kept.

* Causal delivery: an entry is held only with everything that its writer held when it wrote it; states that were taken
  over contain nothing that is not held.
* Exactly once: a journal takes each number of a log once, without gaps apart from what a snapshot contains.
* Durability: nothing is said to be held, or sent, that is not durable; nothing durable is lost by a crash.
* Quorums: who is counted did hold the entry; a read at a quorum holds what so many replicas held when it began.
* Stability: nothing arrives that had not seen what was said to be stable.
* Numbers: no number that another replica holds is used again with other content.
* Fences: nothing is taken of what a removed replica wrote beyond its fence.
* Bounds: what waits for the disk, and what is on its way, has a limit.
* Peace: nobody is refused for a fault, for here nobody lies.
* Convergence: when all has healed, vectors and values become equal, and waits come to their end.
"""

from typing import Literal

Promise = Literal[
    "causal delivery", "exactly once", "durability", "quorums", "stability", "numbers", "fences", "bounds", "peace",
    "convergence",
]  # fmt: skip
"""What is checked; see the head of the module."""


class SimulationError(AssertionError):
    """A promise was broken; the message says how to see it again.

    Attributes:
        promise: which.
    """

    def __init__(self, promise: Promise, message: str) -> None:
        super().__init__(message)
        self.promise = promise
