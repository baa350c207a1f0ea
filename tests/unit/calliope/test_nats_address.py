import pytest

from calliope.stores.nats_address import NatsAddress


def test_an_address_tells_servers_name_and_who_connects():
    address = NatsAddress.parse("nats://anna:p%40ss@one,two:4223,[::1]:4224/orders-2?replicas=3&timeout=1.5&tls=yes")
    assert address.servers == ("nats://one:4222", "nats://two:4223", "nats://[::1]:4224")
    assert (address.name, address.replicas, address.timeout_seconds, address.encrypted) == ("orders-2", 3, 1.5, True)
    assert (address.user, address.password, address.token) == ("anna", "p@ss", None)


def test_a_token_stands_where_the_user_stands():
    address = NatsAddress.parse("nats://s3cret@one/orders")
    assert (address.user, address.password, address.token) == (None, None, "s3cret")


@pytest.mark.parametrize("who", ["anna:s3cret@", "s3cret@"])
def test_what_is_shown_holds_no_secret(who: str):
    address = NatsAddress.parse(f"nats://{who}one:4222/orders?replicas=3")
    assert "s3cret" not in address.shown
    assert address.shown.endswith("one:4222/orders?replicas=3")


def test_little_needs_to_be_said():
    address = NatsAddress.parse("nats://one/orders")
    assert address == NatsAddress(("nats://one:4222",), "nats://one/orders", "orders")
    assert (address.replicas, address.timeout_seconds, address.encrypted, address.credentials) == (1, 30.0, False, None)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nats:///orders", "must name its servers as host or host:port, not ''"),
        ("nats://one,/orders", "must name its servers"),
        ("nats://one:x/orders", "must name its servers"),
        ("nats://one:0/orders", "must name its servers"),
        ("nats://one:-1/orders", "must name its servers"),
        ("nats://one", "letters, digits, '_' and '-', not ''"),
        ("nats://one/a/b", "not 'a/b'"),
        ("nats://one/ä", "not 'ä'"),
        (f"nats://one/{'a' * 65}", "must be 1 to 64 letters"),
        ("nats://one/orders?replicas=6", "replicas must be 1 to 5, not '6'"),
        ("nats://one/orders?replicas=", "replicas must be 1 to 5, not ''"),
        ("nats://one/orders?timeout=0", "timeout must be seconds, more than 0"),
        ("nats://one/orders?timeout=nan", "timeout must be seconds"),
        ("nats://one/orders?timeout=1e9", "at most 3600, not '1e9'"),
        ("nats://one/orders?tls=1", "tls must be 'yes' or 'no', not '1'"),
        ("nats://one/orders?stream=x", "'stream' is no parameter"),
        ("nats://one/orders#x", "must not have a fragment"),
        (":x@one/orders", "must name its servers"),
    ],
)
def test_what_is_no_address_is_refused_by_what_is_wrong(url: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        NatsAddress.parse(url)
