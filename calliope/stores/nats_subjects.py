"""Subjects of a journal in NATS: which one an event stream, an event id or a snapshot has.

    calliope.NAME.e.<stream id>                                   the events of one stream
    calliope.NAME.e.<stream id>.++                                those of a replicated stream
    calliope.NAME.l.<events or other>                             what the replica's log gained: see `nats_commit`
    calliope.NAME.n.i.<digest>                                    where the event with an id may be
    calliope.NAME.n.s.<snapshot id>.<number>.m                    one snapshot
    calliope.NAME.n.s.<snapshot id>.<number>.c.<save>.<part>      a part of a large one
    calliope.NAME.n.v.<stream id>                                 how far the writers of a replicated stream have come
    calliope.NAME.n.e.<digest>                                    where the replicated event with an id is
    calliope.NAME.n.k.<CRDT key>                                  the state of a CRDT key
    calliope.NAME.n.p.<digest>.<commit>.<part>                    a part of a large one
    calliope.NAME.n.f.<name>                                      what a replica remembers of others
    calliope.NAME.n.h                                             which node holds the journal: see `nats_lease`
    calliope.NAME.new                                             says to other processes that there is something new

A stream id is any text; a subject is made of tokens with dots between them and holds no space, control character,
`*` or `>` (https://docs.nats.io/nats-concepts/subjects). So an id is cut into tokens of four characters each, and what
may not stand in a token is written as two characters. The subjects sort as the ids do, by code point: the codes of
two characters begin with the neighbour in whose place they stand (`!` for what lies below it, and so on), and the dots
stand at the same places. And a server can choose streams by the beginning of their ids, in steps of four characters.

The longest id, 512 bytes, makes a subject of about 1,200; a server reads protocol lines of 4,096.
"""

from hashlib import blake2b
from itertools import chain

from calliope.stores.record import StreamKind

TOKEN_CHARACTERS = 4
"""How many characters of a stream id one token stands for."""

REPLICATED = ".++"
"""What a replicated stream's subject has at its end: no token of an id."""

NUMBER_DIGITS = 19
"""How many digits the sequence number of a snapshot has in its subject: more than a token of an id."""

_CODES = {chr(code): "!" + chr(0x40 + code) for code in range(0x21)}
_CODES |= {"!": "!a", "*": "+a", "+": "+b", ".": "/a", "/": "/b", ">": "?a", "?": "?b", "~": "~a", "\x7f": "~b"}
_TO_CODES = str.maketrans(_CODES)
_CHARACTERS = {code: character for character, code in _CODES.items()}
_FIRST_OF_TWO = frozenset("!+/?~")


def encoded_id(stream_id: str) -> str:
    """Return the tokens that stand for a stream id."""
    if len(stream_id) <= TOKEN_CHARACTERS:
        return stream_id.translate(_TO_CODES)
    starts = range(0, len(stream_id), TOKEN_CHARACTERS)
    return ".".join([stream_id[start : start + TOKEN_CHARACTERS].translate(_TO_CODES) for start in starts])


def decoded_id(tokens: str) -> str:
    """Return the stream id that tokens stand for.

    Raises:
        ValueError: they stand for none.
    """
    characters = iter(chain.from_iterable(tokens.split(".")))
    decoded: list[str] = []
    for character in characters:
        if character in _FIRST_OF_TWO:
            code = character + next(characters, "")
            if code not in _CHARACTERS:
                raise ValueError(f"{tokens!r} stands for no stream id: {code!r} is no character")
            decoded.append(_CHARACTERS[code])
        else:
            decoded.append(character)
    return "".join(decoded)


class IdSubjects:
    """The subjects below a root that begin with an id.

    Args:
        root: what all of them begin with, with a dot at its end.

    Attributes:
        all: all of them, as a filter.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self.all = f"{root}>"

    def of(self, id: str) -> str:  # noqa: A002 - what it is
        """Return the subject of an id."""
        return self._root + encoded_id(id)

    def id_in(self, subject: str) -> str:
        """Return the id that a subject is made of."""
        return decoded_id(subject[len(self._root) :])

    def beginning_with(self, prefix: str) -> str:
        """Return a filter that lets all pass whose id begins with a prefix, and some others."""
        whole = (len(prefix) - 1) // TOKEN_CHARACTERS * TOKEN_CHARACTERS if prefix else 0
        return f"{self._root}{encoded_id(prefix[:whole])}.>" if whole else self.all


class NatsSubjects:
    """The subjects of one journal.

    Args:
        name: the name of its JetStream stream.

    Attributes:
        streams: the subjects of events, by stream id.
        snapshots: the subjects of snapshots and their parts, by snapshot id and more.
        versions: the subjects of what is known of a replicated stream's writers, by stream id.
        states: the subjects of the states of CRDT keys, by key.
        facts: the subjects of what a replica remembers, by name.
        lease: the subject of which node holds the journal.
        events: all subjects of events, as a filter.
        log: all subjects of the log, as a filter.
        log_of_events: the subject of what the log gained where events are in it.
        log_of_others: the subject of what the log gained where none are.
        notes: all subjects of notes, as a filter.
        new: where processes tell each other that there is something new.
    """

    def __init__(self, name: str) -> None:
        self._notes = f"calliope.{name}.n."
        self.streams = IdSubjects(f"calliope.{name}.e.")
        self.snapshots = IdSubjects(f"{self._notes}s.")
        self.versions = IdSubjects(f"{self._notes}v.")
        self.states = IdSubjects(f"{self._notes}k.")
        self.facts = IdSubjects(f"{self._notes}f.")
        self.lease = f"{self._notes}h"
        self.events = self.streams.all
        self.log_of_events = f"calliope.{name}.l.events"
        self.log_of_others = f"calliope.{name}.l.other"
        self.log = f"calliope.{name}.l.*"
        self.notes = f"{self._notes}>"
        self.new = f"calliope.{name}.new"

    def of_stream(self, stream_id: str, kind: StreamKind) -> str:
        """Return the subject of a stream's events."""
        return self.streams.of(stream_id) + (REPLICATED if kind == "replicated" else "")

    def stream_in(self, subject: str) -> tuple[str, StreamKind]:
        """Return the id and the kind of the stream that a subject is made of."""
        if subject.endswith(REPLICATED):
            return self.streams.id_in(subject[: -len(REPLICATED)]), "replicated"
        return self.streams.id_in(subject), "plain"

    def of_event_id(self, stream_id: str, event_id: str, kind: StreamKind = "plain") -> str:
        """Return the subject of the note on an event id."""
        named = f"{stream_id}\0{event_id}"
        return f"{self._notes}{'i' if kind == 'plain' else 'e'}.{_digest(named)}"

    def of_state_part(self, key: str, commit: int, part: int | None) -> str:
        """Return the subject of a part of a large state, or a filter for all that one commit wrote."""
        return f"{self._notes}p.{_digest(key)}.{commit}.{'*' if part is None else part}"

    def of_snapshot(self, snapshot_id: str, number: int | None = None, rest: str = "m") -> str:
        """Return the subject of a snapshot, or a filter for all of an id."""
        digits = "*" if number is None else f"{number:0{NUMBER_DIGITS}}"
        return f"{self.snapshots.of(snapshot_id)}.{digits}.{rest}"

    def snapshot_in(self, subject: str) -> tuple[str, int] | None:
        """Return the id and the number of the snapshot that a subject is made of, or None if it is that of a part."""
        tokens, number, rest = subject.rsplit(".", 2)
        return (self.snapshots.id_in(tokens), int(number)) if rest == "m" else None


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()
