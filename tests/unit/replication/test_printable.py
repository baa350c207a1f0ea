"""What others choose does not forge lines of a log, nor obey on a terminal."""

import logging

import pytest

from replication.complaints import LINES_MAX, QUIET_SECONDS, Complaints
from replication.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("berlin", "berlin"),
        ("Köln 東京", "Köln 東京"),
        ("", ""),
        ("a\nWARNING all is lost", "a\\nWARNING all is lost"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\u2028", "\\u2028"),
    ],
)
def test_what_is_shown_is_one_line(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_long_is_cut() -> None:
    assert printable("x" * 100, 10) == "xxxxxxxxx…"


def test_a_complaint_is_one_line_whoever_it_is_about(caplog: pytest.LogCaptureFixture) -> None:
    Complaints(logging.getLogger("test"), lambda: 0.0).add("eve\npeer bob", "says\n\x1b[31mnothing")
    assert caplog.messages == ["peer eve\\npeer bob: says\\n\\x1b[31mnothing"]


def test_complaints_are_counted_and_logged_at_a_bounded_rate(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    complaints = Complaints(logging.getLogger("test"), lambda: now)
    for _ in range(3):
        complaints.add("eve", "lies")
    assert caplog.messages == ["peer eve: lies"]
    now = QUIET_SECONDS
    complaints.add("eve", "lies")
    assert caplog.messages[1:] == ["peer eve: lies (and 2 times since it was last said)"]
    for number in range(2 * LINES_MAX):
        complaints.add(f"stranger {number}", "does not greet")
    assert len(caplog.messages) == 1 + LINES_MAX
    assert complaints.count == 4 + 2 * LINES_MAX
