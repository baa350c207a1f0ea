"""`NatsAddress`: where a journal is kept on NATS servers, and who connects."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from calliope.limits import checked_text

NAME_MAX = 64
"""Characters of a journal's name: that of its JetStream stream."""

REPLICAS_MAX = 5
"""How many servers JetStream lets keep one stream."""

TIMEOUT_SECONDS = 30.0
"""How long servers that do not answer are waited for if the URL does not say."""

TIMEOUT_SECONDS_MAX = 3_600.0

_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class NatsAddress:
    """Where a journal is.

    Attributes:
        servers: the URLs of servers of one cluster, without who connects.
        shown: all of it but passwords and tokens, for errors.
        name: the journal's name.
        user: who connects, or None.
        password: his password, or None.
        token: what is shown to the server instead of a name and a password, or None.
        credentials: the path of a file with a user's credentials (it needs the package `nkeys`), or None.
        encrypted: whether connections are by TLS.
        replicas: how many servers of the cluster keep each event, if the journal is made now.
        timeout_seconds: how long servers that do not answer are waited for before a caller is told.
    """

    servers: tuple[str, ...]
    shown: str
    name: str
    user: str | None = None
    password: str | None = None
    token: str | None = None
    credentials: str | None = None
    encrypted: bool = False
    replicas: int = 1
    timeout_seconds: float = TIMEOUT_SECONDS

    @classmethod
    def parse(cls, url: str) -> "NatsAddress":
        """Return the address in a URL: `nats://user:password@host:4222,host2:4222/name?replicas=3&timeout=30`.

        A token stands where the user stands, without a colon. Further parameters are `tls` (yes or no; certificates are
        checked against those that OpenSSL trusts: SSL_CERT_FILE names others) and `credentials` (the path of a file).

        Raises:
            ValueError: it is not such a URL.
        """
        parts = urlsplit(url)
        shown = _without_secrets(url)
        who, _, hosts = parts.netloc.rpartition("@")
        servers = tuple(f"nats://{_checked_host(host, shown)}" for host in hosts.split(","))
        name = parts.path.removeprefix("/")
        if not _NAME.fullmatch(name) or len(name) > NAME_MAX:
            raise ValueError(
                f"the journal's name in {shown!r} must be 1 to {NAME_MAX} letters, digits, '_' and '-', not {name!r}"
            )
        user, colon, password = who.partition(":")
        parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
        replicas = parameters.pop("replicas", "1")
        timeout = parameters.pop("timeout", str(TIMEOUT_SECONDS))
        encrypted = parameters.pop("tls", "no")
        credentials = parameters.pop("credentials", None)
        if not (replicas.isdecimal() and 1 <= int(replicas) <= REPLICAS_MAX):
            raise ValueError(f"replicas must be 1 to {REPLICAS_MAX}, not {replicas!r}")
        if encrypted not in ("yes", "no"):
            raise ValueError(f"tls must be 'yes' or 'no', not {encrypted!r}")
        if parameters:
            raise ValueError(f"{next(iter(parameters))!r} is no parameter of a NATS URL: {shown!r}")
        if parts.fragment:
            raise ValueError(f"{shown!r} must not have a fragment")
        return cls(
            servers,
            shown,
            name,
            user=checked_text("user", unquote(user), 1_024) if colon else None,
            password=unquote(password) if colon else None,
            token=unquote(user) if who and not colon else None,
            credentials=credentials,
            encrypted=encrypted == "yes",
            replicas=int(replicas),
            timeout_seconds=_checked_seconds(timeout),
        )


def _checked_host(host: str, shown: str) -> str:
    parts = urlsplit(f"//{host}")
    try:
        port = 4222 if parts.port is None else parts.port
    except ValueError:
        port = 0
    if not parts.hostname or not port or any(character in host for character in "*> \t"):
        raise ValueError(f"{shown!r} must name its servers as host or host:port, not {host!r}")
    named = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{named}:{port}"


def _checked_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= TIMEOUT_SECONDS_MAX:
        raise ValueError(f"timeout must be seconds, more than 0 and at most {TIMEOUT_SECONDS_MAX:.0f}, not {text!r}")
    return seconds


def _without_secrets(url: str) -> str:
    """Return a URL that may be shown: without a password or token."""
    parts = urlsplit(url)
    who, at, hosts = parts.netloc.rpartition("@")
    user, colon, _ = who.partition(":")
    query = urlencode(parse_qsl(parts.query, keep_blank_values=True))
    return urlunsplit(parts._replace(netloc=f"{user}@{hosts}" if at and colon else hosts, query=query))
