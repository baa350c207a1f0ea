"""Operation-based CRDTs: data that merges, proven convergent."""

from crdts.counters import GCounter, PNCounter
from crdts.crdt import Crdt
from crdts.errors import (
    CausalityError,
    CrdtError,
    InsufficientRightsError,
    MalformedOperationError,
    OperationTypeError,
    UpdateInterruptedError,
)
from crdts.operation import Operation
from crdts.sets import ORSet
from crdts.version_vector import CausalOrder, Dot, VersionVector

__all__ = [
    "CausalOrder",
    "CausalityError",
    "Crdt",
    "CrdtError",
    "Dot",
    "GCounter",
    "InsufficientRightsError",
    "MalformedOperationError",
    "ORSet",
    "Operation",
    "OperationTypeError",
    "PNCounter",
    "UpdateInterruptedError",
    "VersionVector",
]
