"""How two replicas find out who the other is, before a byte of data is sent. Sans-I/O.

    dialler                        listener
    greeting  ───────────────────►             who I am, and a random challenge
              ◄───────────────────  greeting   the same
    proof     ───────────────────►             HMAC(secret; label, both greetings)
              ◄───────────────────  proof      only after the dialler's was right; with another label

A greeting is [magic, protocol version, …]: these two for ever, so that any later version can tell why it refuses. What
does not fit is answered by a refusal, ["refused", reason], and nothing else.

Both proofs cover both greetings as they were sent: versions, clusters, ids, addresses and challenges. A replayed proof
answers another challenge, and a reflected one has the other role's label. From the secret and both greetings follow two
session keys, one a direction, with which `replication.seal` seals every later frame.

Without a secret the greetings are exchanged alone, and frames carry no MAC: TLS, or the loopback interface, must vouch.
A secret does not hide what is said; TLS does. A secret that is short can be guessed offline by who saw a proof.
"""

import hmac
import secrets
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from calliope.limits import checked_text
from replication.addresses import ADDRESS_BYTES_MAX
from replication.errors import MalformedMessageError, PeerRefusedError
from replication.identifiers import checked_replica_id
from replication.seal import Seal

PROTOCOL_VERSION = 2

GREETING_BYTES_MAX = 2048
"""Everything that is said before the other side is known is at most this long."""

CLUSTER_BYTES_MAX = 200
"""UTF-8 bytes of a cluster's name."""

REASON_BYTES_MAX = 400
"""UTF-8 bytes of the reason that goes with a refusal."""

_MAGIC = "calliope"
_CHALLENGE_BYTES = 32
_PROOF_BYTES = 32

Role = Literal["dialler", "listener"]


class Greeting(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Who somebody says that he is.

    Attributes:
        magic: "calliope".
        protocol_version: of everything that follows.
        cluster: the cluster's name.
        replica_id: the replica.
        address: where it listens ("host:port"), or empty.
        proves: whether it has a secret, and asks for a proof.
        instance: random, one for each start of a process: tells ourselves from a namesake.
        challenge: random, one for each connection.
    """

    magic: str
    protocol_version: int
    cluster: str
    replica_id: str
    address: str
    proves: bool
    instance: bytes
    challenge: bytes


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who this replica is, to other replicas.

    Attributes:
        replica_id: its id.
        cluster: the name of its cluster.
        secret: what all replicas of the cluster know, or None.
        instance: one for each start.
    """

    replica_id: str
    cluster: str
    secret: bytes | None = None
    instance: bytes = msgspec.field(default_factory=lambda: secrets.token_bytes(16))


def identity(replica_id: str, cluster: str, secret: str | bytes | None) -> Identity:
    """Return who this replica is.

    Raises:
        ValueError, TypeError: an illegal replica id or cluster name, or an empty secret.
    """
    checked_replica_id(replica_id)
    checked_text("cluster", cluster, CLUSTER_BYTES_MAX)
    if secret is None:
        return Identity(replica_id=replica_id, cluster=cluster)
    if not isinstance(secret, str | bytes):
        raise TypeError(f"secret must be a str, bytes or None, not a {type(secret).__name__}")
    if not secret:
        raise ValueError("secret must not be empty; leave it out if there is none")
    return Identity(
        replica_id=replica_id, cluster=cluster, secret=secret.encode() if isinstance(secret, str) else secret
    )


class Handshake:
    """One side of a handshake: give it what arrives, send what it returns, until `peer` is known.

    Args:
        identity: who we are.
        role: whether we dialled or listen.
        address: where we listen, or empty.
        challenge: 32 random bytes; given in tests.

    Attributes:
        peer: the other's greeting once all is proven; None before.
    """

    def __init__(self, identity: Identity, role: Role, address: str = "", challenge: bytes | None = None) -> None:
        self._identity = identity
        self._role: Role = role
        own = Greeting(
            _MAGIC,
            PROTOCOL_VERSION,
            identity.cluster,
            identity.replica_id,
            address,
            identity.secret is not None,
            identity.instance,
            secrets.token_bytes(_CHALLENGE_BYTES) if challenge is None else challenge,
        )
        self._greeting = _encode(own)
        self._challenge = own.challenge
        self._candidate: Greeting | None = None
        self._transcript = b""
        self.peer: Greeting | None = None

    def begin(self) -> bytes | None:
        """Return what is sent first, or None where the other side begins."""
        return self._greeting if self._role == "dialler" else None

    def receive(self, data: bytes) -> bytes | None:
        """Take what arrived; return what to send now, if anything.

        Raises:
            PeerRefusedError: the other side does not fit, or says that we do not; `refusal` of it is sent before
                the connection is closed, unless the other refused first.
            MalformedMessageError: it is no handshake.
        """
        if len(data) > GREETING_BYTES_MAX:
            raise MalformedMessageError(f"{len(data)} bytes before it was known who sends them")
        _check_refusal(data)
        if self._candidate is None:
            return self._greeted(data)
        if self.peer is not None:
            raise MalformedMessageError("more was said in the handshake than it has")
        return self._proven(data, self._candidate)

    def refusal(self, error: PeerRefusedError) -> bytes:
        """Return what tells the other side why it is refused; this replica itself recognises its own greeting."""
        if error.is_ourselves:
            return self._greeting
        return _encode(["refused", error.reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")])

    def seals(self) -> tuple[Seal, Seal]:
        """Return what seals the frames that we send, and what opens those that we receive."""
        if self._identity.secret is None:
            return Seal(None), Seal(None)
        dialler, listener = (Seal(self._hmac(f"session {role}")) for role in ("dialler", "listener"))
        return (dialler, listener) if self._role == "dialler" else (listener, dialler)

    def _greeted(self, data: bytes) -> bytes | None:
        greeting = _greeting_in(data)
        self._check(greeting)
        self._candidate = greeting
        both = (self._greeting, data) if self._role == "dialler" else (data, self._greeting)
        self._transcript = b"".join(len(part).to_bytes(4, "big") + part for part in both)
        if self._identity.secret is None:
            self.peer = greeting
        if self._role == "listener":
            return self._greeting
        return None if self._identity.secret is None else self._hmac("proof dialler")

    def _proven(self, proof: bytes, candidate: Greeting) -> bytes | None:
        theirs = "proof listener" if self._role == "dialler" else "proof dialler"
        if len(proof) != _PROOF_BYTES or not hmac.compare_digest(proof, self._hmac(theirs)):
            raise PeerRefusedError(candidate.address, "the secrets differ")
        self.peer = candidate
        return self._hmac("proof listener") if self._role == "listener" else None

    def _check(self, theirs: Greeting) -> None:
        ours = self._identity
        if theirs.cluster != ours.cluster:
            raise PeerRefusedError(
                theirs.address, f"the clusters differ: {ours.cluster!r} here, {theirs.cluster!r} there"
            )
        if theirs.replica_id == ours.replica_id:
            if theirs.instance == ours.instance:
                raise PeerRefusedError(theirs.address, "both ends are this replica", is_ourselves=True)
            raise PeerRefusedError(theirs.address, f"two replicas have the id {ours.replica_id!r}")
        if theirs.proves is not (ours.secret is not None):
            raise PeerRefusedError(theirs.address, "only one of the two has a secret")
        if hmac.compare_digest(theirs.challenge, self._challenge):
            raise PeerRefusedError(theirs.address, "a challenge was sent back as it came")

    def _hmac(self, label: str) -> bytes:
        assert self._identity.secret is not None
        purpose = f"calliope {PROTOCOL_VERSION} {label}\0".encode()
        return hmac.digest(self._identity.secret, purpose + self._transcript, "sha256")


def _greeting_in(data: bytes) -> Greeting:
    try:
        opening = _decode_opening(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedMessageError(f"it is no greeting: {error}") from None
    if opening.magic != _MAGIC:
        raise MalformedMessageError("it is no greeting")
    if opening.protocol_version != PROTOCOL_VERSION:
        raise PeerRefusedError("", f"the protocol versions differ: {PROTOCOL_VERSION} and {opening.protocol_version}")
    try:
        return _checked(_decode_greeting(data))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedMessageError(f"it is no greeting: {error}") from None


def _checked(greeting: Greeting) -> Greeting:
    checked_text("cluster", greeting.cluster, CLUSTER_BYTES_MAX)
    checked_replica_id(greeting.replica_id)
    if greeting.address:
        checked_text("address", greeting.address, ADDRESS_BYTES_MAX)
    if len(greeting.challenge) != _CHALLENGE_BYTES or len(greeting.instance) != 16:
        raise ValueError("a challenge or instance of another length")
    return greeting


def _check_refusal(data: bytes) -> None:
    try:
        word, reason = _decode_refusal(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return
    if word == "refused":
        raise PeerRefusedError("", f"{_printable(reason)} (says the other side)")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:REASON_BYTES_MAX])


class _Opening(msgspec.Struct, array_like=True):
    magic: str
    protocol_version: int


_encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
_decode_opening = msgspec.msgpack.Decoder(_Opening).decode
_decode_greeting = msgspec.msgpack.Decoder(Greeting).decode
_decode_refusal = msgspec.msgpack.Decoder(tuple[str, str]).decode
