"""Operation-based CRDTs: data that merges, proven convergent.

Each type is changed through its methods, which return the operation to ship; `apply` lets operations of other
replicas take effect, `merge` joins whole states. How to write a type of one's own is told in `crdts.crdt`.
"""

from crdts.bounded_counter import BoundedCounter
from crdts.causal_context import CausalContext
from crdts.counters import GCounter, PNCounter
from crdts.crdt import Crdt
from crdts.embedded_counters import _AmountsByDot as _AmountsByDot  # registers the form of counters in maps
from crdts.errors import (
    CausalityError,
    CrdtError,
    InsufficientRightsError,
    MalformedOperationError,
    OperationTypeError,
    UpdateInterruptedError,
)
from crdts.flags import DWFlag, EWFlag
from crdts.lww_map import LWWMap
from crdts.maps import ORMap
from crdts.operation import Operation
from crdts.registers import LWWRegister, MVRegister
from crdts.sequence import RGA
from crdts.sets import GSet, ORSet, RWSet, TwoPhaseSet
from crdts.text import Text
from crdts.version_vector import CausalOrder, Dot, VersionVector

__all__ = [
    "RGA",
    "BoundedCounter",
    "CausalContext",
    "CausalOrder",
    "CausalityError",
    "Crdt",
    "CrdtError",
    "DWFlag",
    "Dot",
    "EWFlag",
    "GCounter",
    "GSet",
    "InsufficientRightsError",
    "LWWMap",
    "LWWRegister",
    "MVRegister",
    "MalformedOperationError",
    "ORMap",
    "ORSet",
    "Operation",
    "OperationTypeError",
    "PNCounter",
    "RWSet",
    "Text",
    "TwoPhaseSet",
    "UpdateInterruptedError",
    "VersionVector",
]
