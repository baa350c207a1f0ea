import pytest
from hypothesis import given
from hypothesis import strategies as st

from calliope.limits import STREAM_ID_BYTES_MAX
from calliope.stores.nats_subjects import NatsSubjects, decoded_id, encoded_id

IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
AWKWARD_IDS = st.text(st.sampled_from(' !"*+,.-/=>?@~\x7f\x01\x1f\t\naz0\u2028\U0001f600'), min_size=1, max_size=12)
SUBJECTS = NatsSubjects("orders")


@given(IDS | AWKWARD_IDS)
def test_an_id_reads_back_from_its_subject(stream_id: str):
    assert SUBJECTS.streams.id_in(SUBJECTS.streams.of(stream_id)) == stream_id
    assert SUBJECTS.snapshot_in(SUBJECTS.of_snapshot(stream_id, 7)) == (stream_id, 7)
    assert SUBJECTS.snapshot_in(SUBJECTS.of_snapshot(stream_id, 7, "c.abc.0")) is None


@given(IDS | AWKWARD_IDS)
def test_a_subject_has_nothing_that_a_server_takes_for_something_else(stream_id: str):
    tokens = encoded_id(stream_id).split(".")
    assert all(tokens)
    for token in tokens:
        assert not set(token) & set("*>\x7f\0")
        assert not any(ord(character) <= 0x20 for character in token)
    assert len(SUBJECTS.streams.of(stream_id).encode()) < 4_096


@given(IDS | AWKWARD_IDS, IDS | AWKWARD_IDS)
def test_subjects_sort_as_their_ids_do(one: str, other: str):
    assert (encoded_id(one) < encoded_id(other)) == (one < other)
    assert (encoded_id(one).encode() < encoded_id(other).encode()) == (one < other)


@given(IDS | AWKWARD_IDS, st.integers(0, 12))
def test_a_filter_for_a_prefix_lets_every_id_with_it_pass(stream_id: str, length: int):
    passing = SUBJECTS.streams.beginning_with(stream_id[:length])
    assert SUBJECTS.streams.of(stream_id).startswith(passing.removesuffix(">"))


def test_a_filter_for_a_prefix_keeps_back_what_differs_before_its_last_characters():
    assert SUBJECTS.streams.beginning_with("order-17") == "calliope.orders.e.orde.>"
    assert SUBJECTS.streams.beginning_with("order-171") == "calliope.orders.e.orde.r-17.>"
    assert SUBJECTS.streams.beginning_with("") == SUBJECTS.streams.beginning_with("orde") == SUBJECTS.events


@pytest.mark.parametrize("character", ["x", "*", "\U0001f600", "\x01"])
def test_the_longest_id_makes_a_subject_that_fits_into_a_line_of_the_protocol(character: str):
    stream_id = character * (STREAM_ID_BYTES_MAX // len(character.encode()))
    assert len(SUBJECTS.streams.of(stream_id).encode()) < 1_300
    assert decoded_id(encoded_id(stream_id)) == stream_id


@pytest.mark.parametrize("tokens", ["!", "a!", "+c", "!\x80", "~"])
def test_what_stands_for_no_id_is_refused(tokens: str):
    with pytest.raises(ValueError, match="stands for no stream id"):
        decoded_id(tokens)


def test_an_event_id_belongs_to_its_stream():
    subjects = {SUBJECTS.of_event_id("a", "bc"), SUBJECTS.of_event_id("ab", "c"), SUBJECTS.of_event_id("a", "b")}
    assert len(subjects) == 3


@given(IDS | AWKWARD_IDS, IDS | AWKWARD_IDS)
def test_a_replicated_stream_has_a_subject_that_no_plain_one_has(one: str, other: str):
    for kind in ("plain", "replicated"):
        assert SUBJECTS.stream_in(SUBJECTS.of_stream(one, kind)) == (one, kind)
    assert SUBJECTS.of_stream(one, "replicated") != SUBJECTS.of_stream(other, "plain")
    passing = SUBJECTS.streams.beginning_with(one)
    assert SUBJECTS.of_stream(one, "replicated").startswith(passing.removesuffix(">"))
