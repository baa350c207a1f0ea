import logging

import pytest

from calliope.testing import ManualClock
from replication.addresses import is_loopback, is_unspecified, joined, parsed
from replication.complaints import LINES_MAX, MATTERS_MAX, QUIET_SECONDS, Complaints


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:7401", ("127.0.0.1", 7401)),
        ("[::1]:7401", ("::1", 7401)),
        ("localhost:1", ("localhost", 1)),
        ("berlin.example.org:65535", ("berlin.example.org", 65535)),
    ],
)
def test_an_address_is_host_and_port(address, expected):
    assert parsed(address) == expected
    assert joined(*expected) == address


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "must not be empty"),
        ("7401", "must be host:port"),
        (":7401", "must be host:port"),
        ("localhost:", "a port from 1 to 65535, not ''"),
        ("localhost:0", "a port from 1 to 65535, not '0'"),
        ("localhost:65536", "not '65536'"),
        ("localhost:-1", "not '-1'"),
        ("localhost:٣", "not '٣'"),
        ("localhost:99999999999999999999", "a port from"),
        ("::1:7401", "brackets"),
        ("[::g]:7401", "IPv6"),
        ("http://a:1", "is no host|brackets"),
        ("a b:1", "is no host"),
        ("user@a:1", "is no host"),
        ("a\0:1", "NUL"),
    ],
)
def test_what_is_no_address_is_named(address, said):
    with pytest.raises(ValueError, match=said):
        parsed(address)


def test_an_address_is_text():
    with pytest.raises(TypeError, match="address must be a str, not 7401"):
        parsed(7401)


def test_port_0_is_for_listening():
    assert parsed("127.0.0.1:0", port_minimum=0) == ("127.0.0.1", 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST"])
def test_these_hosts_are_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org", "128.0.0.1"])
def test_these_hosts_are_not_this_machine_alone(host):
    assert not is_loopback(host)
    assert is_unspecified(host) == (host in {"0.0.0.0", "::"})


def test_a_complaint_is_logged_once_a_minute_and_counted_always(caplog):
    clock = ManualClock()
    complaints = Complaints(logging.getLogger("test"), clock.now)
    for _ in range(100):
        complaints.add("10.0.0.1", "the secrets differ")
    assert [record.message for record in caplog.records] == ["peer 10.0.0.1: the secrets differ"]
    clock._now += QUIET_SECONDS
    complaints.add("10.0.0.1", "the secrets differ")
    assert caplog.records[1].message.endswith("(and 99 times since it was last said)")
    assert complaints.count == 101


def test_complaints_about_ever_new_matters_are_bounded_in_lines_and_memory(caplog):
    clock = ManualClock()
    complaints = Complaints(logging.getLogger("test"), clock.now)
    for minute in range(10):
        clock._now = minute * QUIET_SECONDS
        for number in range(MATTERS_MAX):
            complaints.add(f"peer {minute}.{number}", "garbage")
    assert len(caplog.records) == 10 * LINES_MAX
    assert len(complaints._last) <= MATTERS_MAX
