"""Many machines agree: nodes, the gossip replicator and the command line."""

from replication.core.replica import MemberReport as Member
from replication.core.settings import Settings
from replication.errors import (
    ConnectionLostError,
    KeyTypeError,
    ListenError,
    MalformedMessageError,
    PeerError,
    PeerRefusedError,
    QuorumTimeoutError,
    ReplicationError,
    StaleValueError,
)
from replication.node import Node
from replication.replicator import Replicator
from replication.updates import Update
from replication.version_token import VersionToken

__all__ = [
    "ConnectionLostError",
    "KeyTypeError",
    "ListenError",
    "MalformedMessageError",
    "Member",
    "Node",
    "PeerError",
    "PeerRefusedError",
    "QuorumTimeoutError",
    "ReplicationError",
    "Replicator",
    "Settings",
    "StaleValueError",
    "Update",
    "VersionToken",
]
