import pytest

from calliope.shown_url import without_password


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("memory://", "memory://"),
        ("postgresql://ann@host/d?schema=s", "postgresql://ann@host/d?schema=s"),
        ("postgresql://ann:secret@host:5432/d?schema=s", "postgresql://ann@host:5432/d?schema=s"),
        ("postgresql://ann:se%40cret@host", "postgresql://ann@host"),
        ("postgresql:///d?password=secret&host=%2Frun&schema=s", "postgresql:///d?host=%2Frun&schema=s"),
        ("postgresql:///d?sslpassword=secret", "postgresql:///d"),
        ("nats://ann:secret@one:4222,two:4222/journal?replicas=3", "nats://ann@one:4222,two:4222/journal?replicas=3"),
        ("nats://secret@one:4222/journal?replicas=3", "nats://one:4222/journal?replicas=3"),
        ("nats://host/journal?token=secret", "nats://host/journal"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert without_password(url) == shown
