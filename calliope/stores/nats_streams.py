"""The JetStream streams of a journal: made, or recognised.

    NAME          the events; nothing is ever removed from it
    NAME_notes    beside them: where event ids are, snapshots, states; of each subject the last message is kept
    NAME_log      what the replica's log gained; operations are removed from it

All are in files, with as many replicas as the URL says when the journal is made. What else a stream does not tell is
in its metadata (ADR-33): the form of its messages, and the journal's id. A stream without it is somebody else's.

What an acknowledgement is worth is the server's to say: with one replica it has written the message to its file, and
syncs it to the disk every two minutes, unless `sync_interval` in its configuration says otherwise (`always`: before it
acknowledges). With three, a majority has written it, and a crash of one machine loses nothing. Nothing of that can be
seen from outside.
"""

import secrets
from typing import Any

import msgspec

from calliope.errors import JournalFormatError
from calliope.stores.nats_connection import NatsConnection, Pauses
from calliope.stores.nats_errors import STREAM_EXISTS, STREAM_NOT_FOUND, NoAnswerError, ServerError, refusal
from calliope.stores.nats_log import asked_of_jetstream
from calliope.stores.nats_subjects import NatsSubjects

FORMAT_VERSION = 1

NO_JETSTREAM_SECONDS = 2.0
"""For how long a server may say that there is no JetStream, before it is believed: it may just have started."""

_FORMAT = "calliope.format"
_JOURNAL = "calliope.journal"
_CONTENT = "calliope.content"


class StreamConfig(msgspec.Struct):
    """What is looked at of a stream's configuration."""

    num_replicas: int = 1
    metadata: dict[str, str] = {}
    allow_direct: bool = False
    allow_atomic: bool = False


class _State(msgspec.Struct):
    subjects: dict[str, int] | None = None


class StreamInfo(msgspec.Struct):
    """What JetStream answers about a stream."""

    error: ServerError | None = None
    config: StreamConfig = msgspec.field(default_factory=StreamConfig)
    state: _State = msgspec.field(default_factory=_State)
    total: int = 0


decode_info = msgspec.json.Decoder(StreamInfo).decode


def notes_of(name: str) -> str:
    """Return the name of the stream beside the one of the events."""
    return f"{name}_notes"


def log_of(name: str) -> str:
    """Return the name of the stream that keeps the replica's log."""
    return f"{name}_log"


async def create_or_check(connection: NatsConnection, subjects: NatsSubjects) -> tuple[str, int]:
    """Make the journal if there is none; return its id and how many replicas it has.

    Raises:
        JournalFormatError: a stream of the name is something else or a newer journal, or there is no JetStream.
        StorageError: it cannot be made; it says why.
    """
    name = connection.address.name
    await _check_jetstream(connection, name)
    events = await _created(connection, name, "events", secrets.token_hex(8), _events_config(subjects))
    journal_id = events.metadata[_JOURNAL]
    notes = await _created(connection, notes_of(name), "notes", journal_id, _notes_config(subjects))
    log = await _created(connection, log_of(name), "log", journal_id, {"subjects": [subjects.log]})
    for beside, found in ((notes_of(name), notes), (log_of(name), log)):
        if found.metadata[_JOURNAL] != journal_id:
            raise JournalFormatError(
                f"{connection.address.shown}: the stream {beside!r} belongs to journal"
                f" {found.metadata[_JOURNAL]}, not to {journal_id}"
            )
    return journal_id, events.num_replicas


async def is_there(connection: NatsConnection) -> bool:
    """Tell whether there is a stream of the journal's name; makes none.

    Raises:
        JournalFormatError: there is no JetStream.
        StorageError: the server refuses.
    """
    name = connection.address.name
    await _check_jetstream(connection, name)
    return await _info(connection, name) is not None


async def _check_jetstream(connection: NatsConnection, name: str) -> None:
    seconds = min(NO_JETSTREAM_SECONDS, connection.address.timeout_seconds)
    try:
        await connection.ask((f"$JS.API.STREAM.INFO.{name}", b"{}", None), pauses=Pauses(seconds))
    except NoAnswerError as error:
        if error.nobody_listens:
            raise JournalFormatError(
                f"{connection.address.shown} has no JetStream, it cannot hold a journal"
            ) from error


def _events_config(subjects: NatsSubjects) -> dict[str, Any]:
    return {"subjects": [subjects.events], "deny_delete": True, "deny_purge": True}


def _notes_config(subjects: NatsSubjects) -> dict[str, Any]:
    return {"subjects": [subjects.notes], "max_msgs_per_subject": 1}


async def _created(
    connection: NatsConnection, name: str, content: str, journal_id: str, config: dict[str, Any]
) -> StreamConfig:
    """Return the configuration of a stream, which is made if there is none."""
    found = await _info(connection, name)
    if found is None:
        common = {
            "name": name,
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "num_replicas": connection.address.replicas,
            "allow_direct": True,
            "allow_atomic": True,
            "metadata": {_FORMAT: str(FORMAT_VERSION), _CONTENT: content, _JOURNAL: journal_id},
        }
        answer = await asked_of_jetstream(connection, f"$JS.API.STREAM.CREATE.{name}", common | config, decode_info)
        if answer.error is None:
            found = answer.config
        elif answer.error.err_code in STREAM_EXISTS:  # somebody else made it now, or it has our subjects
            found = await _info(connection, name)
        if found is None:
            raise _refused(answer.error, connection, f"to make the stream {name!r}")
    _check(found, name, content, connection.address.shown)
    return found


async def _info(connection: NatsConnection, name: str) -> StreamConfig | None:
    answer: StreamInfo = await asked_of_jetstream(connection, f"$JS.API.STREAM.INFO.{name}", {}, decode_info)
    if answer.error is None:
        return answer.config
    if answer.error.err_code == STREAM_NOT_FOUND:
        return None
    raise _refused(answer.error, connection, f"to tell of the stream {name!r}")


def _refused(error: ServerError, connection: NatsConnection, doing: str) -> Exception:
    return refusal(error, connection.address.shown, doing=doing)


def _check(found: StreamConfig, name: str, content: str, shown: str) -> None:
    form, metadata = found.metadata.get(_FORMAT, ""), found.metadata
    if not form.isdecimal() or _JOURNAL not in metadata or metadata.get(_CONTENT) != content:
        raise JournalFormatError(f"{shown}: the stream {name!r} is no part of a journal; it was left as it is")
    if int(form) > FORMAT_VERSION:
        raise JournalFormatError(
            f"{shown} is a journal of format {form}; this version of Calliope reads up to {FORMAT_VERSION}"
        )
    if not (found.allow_direct and found.allow_atomic):
        raise JournalFormatError(f"{shown}: the stream {name!r} no longer allows direct gets and atomic batches")


async def subjects_of(connection: NatsConnection, name: str, subject: str) -> list[str]:
    """Return the subjects that hold messages and that a filter lets pass, sorted; all of them.

    Raises:
        StorageError: the server refuses.
    """
    found: list[str] = []
    while True:
        question = {"subjects_filter": subject, "offset": len(found)}
        answer = await asked_of_jetstream(connection, f"$JS.API.STREAM.INFO.{name}", question, decode_info)
        if answer.error is not None:
            raise _refused(answer.error, connection, "to list subjects")
        subjects = answer.state.subjects or {}
        found += subjects
        if not subjects or len(found) >= answer.total:
            return sorted(found)
