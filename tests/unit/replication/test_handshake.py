import msgspec
import pytest

from replication.errors import MalformedMessageError, PeerRefusedError
from replication.handshake import GREETING_BYTES_MAX, Handshake, Identity, identity
from replication.seal import MAC_BYTES, Seal

SECRET = "Schlüssel, 鍵"


def challenge(number: int) -> bytes:
    return number.to_bytes(32, "big")


def sides(dialler: Identity | None = None, listener: Identity | None = None) -> tuple[Handshake, Handshake]:
    return (
        Handshake(dialler or identity("berlin", "shop", SECRET), "dialler", "127.0.0.1:1", challenge(1)),
        Handshake(listener or identity("paris", "shop", SECRET), "listener", "127.0.0.1:2", challenge(2)),
    )


def shaken(dialler: Handshake, listener: Handshake) -> list[bytes]:
    """Carry everything to and fro; return what was said."""
    said, sent = [], dialler.begin()
    receiver, other = listener, dialler
    while sent is not None:
        said.append(sent)
        sent = receiver.receive(sent)
        receiver, other = other, receiver
    return said


def test_two_replicas_that_know_the_secret_know_each_other_afterwards():
    dialler, listener = sides()
    assert len(shaken(dialler, listener)) == 4
    assert (dialler.peer.replica_id, dialler.peer.address) == ("paris", "127.0.0.1:2")
    assert (listener.peer.replica_id, listener.peer.address) == ("berlin", "127.0.0.1:1")


def test_without_a_secret_the_greetings_are_all():
    dialler, listener = sides(identity("berlin", "shop", None), identity("paris", "shop", None))
    assert len(shaken(dialler, listener)) == 2
    assert (dialler.peer.replica_id, listener.peer.replica_id) == ("paris", "berlin")


def test_a_secret_may_be_text_or_its_bytes():
    dialler, listener = sides(identity("berlin", "shop", SECRET.encode()))
    shaken(dialler, listener)
    assert listener.peer is not None


@pytest.mark.parametrize(
    ("stranger", "reason"),
    [
        (identity("berlin", "shop", None), "only one of the two has a secret"),
        (identity("berlin", "shop", "another"), "the secrets differ"),
        (identity("berlin", "office", SECRET), "the clusters differ: 'shop' here, 'office' there"),
        (identity("paris", "shop", SECRET), "two replicas have the id 'paris'"),
    ],
    ids=["no key", "wrong key", "another cluster", "our id"],
)
def test_who_does_not_fit_is_refused_and_told_why(stranger, reason):
    dialler, listener = sides(stranger)
    with pytest.raises(PeerRefusedError, match=reason) as refused:
        shaken(dialler, listener)
    assert listener.peer is None
    assert not refused.value.is_ourselves
    with pytest.raises(PeerRefusedError, match=r"\(says the other side\)"):
        dialler.receive(listener.refusal(refused.value))
    assert dialler.peer is None


def test_a_listener_that_does_not_know_the_secret_is_refused_by_the_dialler():
    dialler, listener = sides()
    _, rogue = sides(listener=identity("paris", "shop", "another"))
    greeting = rogue.receive(dialler.begin())
    assert dialler.receive(greeting) is not None
    _, other = sides()
    other.receive(dialler.begin())
    with pytest.raises(PeerRefusedError, match="the secrets differ"):
        dialler.receive(rogue._hmac("proof listener"))
    assert dialler.peer is None
    assert listener.peer is None


def test_the_listener_proves_nothing_to_who_has_not_proven_himself():
    dialler, listener = sides(identity("berlin", "shop", "another"))
    said = [dialler.begin()]
    said.append(listener.receive(said[0]))
    with pytest.raises(PeerRefusedError):
        listener.receive(dialler.receive(said[1]))
    assert not any(listener._hmac("proof listener") in message for message in said)


def test_a_replica_that_dials_itself_learns_that():
    ourselves = identity("berlin", "shop", SECRET)
    dialler, listener = sides(ourselves, ourselves)
    with pytest.raises(PeerRefusedError) as refused:
        listener.receive(dialler.begin())
    assert refused.value.is_ourselves
    with pytest.raises(PeerRefusedError, match="both ends are this replica") as seen:
        dialler.receive(listener.refusal(refused.value))
    assert seen.value.is_ourselves


def test_what_was_overheard_does_not_open_another_connection():
    greeting, _, proof, _ = shaken(*sides())
    listener = Handshake(identity("paris", "shop", SECRET), "listener", "127.0.0.1:2", challenge(3))
    assert listener.receive(greeting) is not None
    with pytest.raises(PeerRefusedError, match="the secrets differ"):
        listener.receive(proof)


def test_a_greeting_that_is_sent_back_is_refused():
    dialler, _ = sides()
    with pytest.raises(PeerRefusedError):
        dialler.receive(dialler.begin())


def test_a_greeting_that_is_sent_back_under_another_name_is_refused():
    dialler, _ = sides()
    fields = msgspec.msgpack.decode(dialler.begin())
    fields[3] = "paris"
    with pytest.raises(PeerRefusedError, match="a challenge was sent back"):
        dialler.receive(msgspec.msgpack.encode(fields))


def test_a_proof_that_is_sent_back_is_refused():
    dialler, listener = sides()
    proof = dialler.receive(listener.receive(dialler.begin()))
    with pytest.raises(PeerRefusedError, match="the secrets differ"):
        dialler.receive(proof)


def test_a_greeting_that_was_altered_on_the_way_is_refused():
    dialler, listener = sides()
    fields = msgspec.msgpack.decode(dialler.begin())
    fields[4] = "127.0.0.1:666"
    greeting = listener.receive(msgspec.msgpack.encode(fields))
    with pytest.raises(PeerRefusedError, match="the secrets differ"):
        listener.receive(dialler.receive(greeting))


def test_another_protocol_version_is_refused_whatever_else_it_says():
    _, listener = sides()
    with pytest.raises(PeerRefusedError, match="the protocol versions differ: 2 and 9"):
        listener.receive(msgspec.msgpack.encode(["calliope", 9, {"all": "else"}, "has changed"]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 40,
        b"GET / HTTP/1.1\r\n",
        msgspec.msgpack.encode(["kalliope", 1]),
        msgspec.msgpack.encode(["calliope", 2, "shop"]),
        msgspec.msgpack.encode(["calliope", 2, "shop", "a~b", "", True, bytes(16), bytes(32)]),
        msgspec.msgpack.encode(["calliope", 2, "", "berlin", "", True, bytes(16), bytes(32)]),
        msgspec.msgpack.encode(["calliope", 2, "shop", "berlin", "a\0", True, bytes(16), bytes(32)]),
        msgspec.msgpack.encode(["calliope", 2, "shop", "berlin", "", True, bytes(16), b"short"]),
        b"\x91" * 2000,
        b"\x93\xa8calliope\x02" + b"\x91" * 2000,
        b"\x98\xa8calliope\x02" + b"\x81" * 2000,
        b"\x92\xa7refused" + b"\x91" * 2000,
        bytes(GREETING_BYTES_MAX + 1),
    ],
)
def test_garbage_is_no_greeting(data):
    _, listener = sides()
    with pytest.raises(MalformedMessageError):
        listener.receive(data)


def test_more_than_the_handshake_has_is_malformed():
    dialler, listener = sides()
    shaken(dialler, listener)
    with pytest.raises(MalformedMessageError, match="more was said"):
        listener.receive(b"\x01")


def test_a_reason_that_a_peer_gives_is_printed_without_what_a_terminal_would_obey():
    dialler, _ = sides()
    with pytest.raises(PeerRefusedError) as refused:
        dialler.receive(msgspec.msgpack.encode(["refused", "\x1b[2J\nforged line"]))
    assert refused.value.reason == "?[2J?forged line (says the other side)"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("a~b", "shop", None), ValueError),
        (("", "shop", None), ValueError),
        (("a", "", None), ValueError),
        (("a", "c" * 201, None), ValueError),
        (("a", "shop", ""), ValueError),
        (("a", "shop", b""), ValueError),
        (("a", "shop", 5), TypeError),
        ((5, "shop", None), TypeError),
    ],
)
def test_an_identity_that_is_none_is_refused(arguments, error):
    with pytest.raises(error):
        identity(*arguments)


def sealed(count: int) -> tuple[list[bytes], Seal]:
    dialler, listener = sides()
    shaken(dialler, listener)
    sealing, _ = dialler.seals()
    _, opening = listener.seals()
    return [sealing.close(b"frame %d" % number) for number in range(count)], opening


def test_frames_open_in_the_order_in_which_they_were_sealed():
    frames, opening = sealed(3)
    assert [bytes(opening.open(frame)) for frame in frames] == [b"frame 0", b"frame 1", b"frame 2"]
    assert len(frames[0]) == len(b"frame 0") + MAC_BYTES


def test_a_frame_that_is_replayed_is_refused():
    frames, opening = sealed(1)
    opening.open(frames[0])
    with pytest.raises(MalformedMessageError):
        opening.open(frames[0])


def test_a_frame_that_is_left_out_or_overtaken_is_noticed():
    frames, opening = sealed(3)
    opening.open(frames[0])
    with pytest.raises(MalformedMessageError):
        opening.open(frames[2])


def test_a_frame_that_is_altered_anywhere_is_refused():
    frames, _ = sealed(1)
    for place in range(len(frames[0])):
        altered = bytearray(frames[0])
        altered[place] ^= 1
        _, opening = sealed(1)
        with pytest.raises(MalformedMessageError):
            opening.open(bytes(altered))


def test_a_frame_that_is_too_short_for_its_seal_is_refused():
    _, opening = sealed(0)
    for length in range(MAC_BYTES + 1):
        with pytest.raises(MalformedMessageError):
            opening.open(bytes(length))


def test_a_frame_that_is_sent_back_is_refused():
    dialler, listener = sides()
    shaken(dialler, listener)
    sealing, opening = dialler.seals()
    with pytest.raises(MalformedMessageError):
        opening.open(sealing.close(b"mine"))


def test_a_frame_of_another_connection_is_refused():
    frames, _ = sealed(1)
    dialler, _ = sides()
    listener = Handshake(identity("paris", "shop", SECRET), "listener", "127.0.0.1:2", challenge(3))
    shaken(dialler, listener)
    with pytest.raises(MalformedMessageError):
        listener.seals()[1].open(frames[0])


def test_without_a_secret_frames_are_what_they_hold():
    dialler, listener = sides(identity("berlin", "shop", None), identity("paris", "shop", None))
    shaken(dialler, listener)
    sealing, opening = dialler.seals()[0], listener.seals()[1]
    assert opening.open(sealing.close(b"plain")) == b"plain"
