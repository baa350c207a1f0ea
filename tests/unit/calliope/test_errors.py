import copy
import inspect
import pickle

import pytest

from calliope import errors
from calliope.errors import (
    CalliopeError,
    CorruptJournalError,
    CorruptRecordError,
    EventDecodingError,
    EventEncodingError,
    ExpectedVersionError,
    ForkedLogError,
    LogGapError,
    MalformedEntryError,
    ReplicaIdInUseError,
    StreamKindError,
    shortened,
)

EXAMPLES = [
    ExpectedVersionError(3, 5, "order-17"),
    StreamKindError("order-17", "plain", "replicated"),
    EventEncodingError({"a": 1}, "because"),
    EventDecodingError("order-17", 7, "item-added", 2, "does not fit"),
    CorruptJournalError("page 3"),
    CorruptRecordError(7, "does not match its checksum"),
    CorruptRecordError(None, "number 7 is missing"),
    ReplicaIdInUseError("order-17", "berlin"),
    LogGapError("berlin~1", 7, 3),
    ForkedLogError("berlin~1", 7),
    MalformedEntryError("berlin~1", 7, "does not match its checksum"),
]


def test_every_error_has_the_root_and_is_in_the_tree_at_the_head_of_the_module():
    classes = [
        value for value in vars(errors).values() if inspect.isclass(value) and value.__module__ == errors.__name__
    ]
    assert len(classes) > 10
    for error_class in classes:
        assert issubclass(error_class, CalliopeError)
        assert error_class.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        *zip(
            EXAMPLES,
            [
                "stream 'order-17' is at version 5, not at the expected 3; nothing was written",
                "stream 'order-17' is replicated, not plain, from its first event on",
                "{'a': 1} cannot be stored: because",
                "event 'item-added' version 2 at position 7 of stream 'order-17' does not fit",
                "the journal is damaged: page 3",
                "the journal is damaged: record at position 7: does not match its checksum",
                "the journal is damaged: number 7 is missing",
                (
                    "another handle has written to stream 'order-17' as replica 'berlin' since this one did;"
                    " nothing was written: give each live handle a replica id of its own"
                ),
                "entry 7 of log 'berlin~1' does not follow what is held: the next is 3; nothing was written",
                "entry 7 of log 'berlin~1' is held already, with other content; nothing was written",
                "entry 7 of log 'berlin~1' does not match its checksum; nothing was written",
            ],
            strict=True,
        )
    ],
)
def test_an_error_says_in_one_sentence_what_happened(error, message):
    assert str(error) == message


def test_errors_carry_their_facts():
    expected_version, kind, encoding, decoding, journal, record, *_ = EXAMPLES
    assert (expected_version.expected, expected_version.actual, expected_version.stream_id) == (3, 5, "order-17")
    assert (kind.stream_id, kind.expected, kind.actual) == ("order-17", "plain", "replicated")
    assert (encoding.event, encoding.reason) == ({"a": 1}, "because")
    assert (decoding.stream_id, decoding.position, decoding.type, decoding.schema_version) == (
        "order-17",
        7,
        "item-added",
        2,
    )
    assert journal.detail == "page 3"
    assert record.position == 7


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_can_be_copied_and_sent_to_another_process(error):
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)


def test_a_long_value_is_cut_in_an_error():
    assert shortened("x" * 1_000) == "'" + "x" * 118 + "…"
    assert shortened([1, 2]) == "[1, 2]"
    assert len(str(EventEncodingError("x" * 10_000, "it is long"))) < 200
