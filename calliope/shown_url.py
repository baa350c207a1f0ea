"""URLs as they may be shown: in errors, logs and on terminals."""

from urllib.parse import parse_qsl, urlencode, urlsplit

SECRET_PARAMETERS = frozenset({"password", "sslpassword", "token"})


def without_password(url: str) -> str:
    """Return a URL without the passwords in it, and without a token, which in NATS URLs stands where a user stands."""
    parts = urlsplit(url)
    users, at, hosts = parts.netloc.rpartition("@")
    user, colon, _ = users.partition(":")
    if parts.scheme == "nats" and not colon:
        user, at = "", ""
    parameters = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, value) for name, value in parameters if name not in SECRET_PARAMETERS]
    if user == users and kept == parameters:
        return url
    query = f"?{urlencode(kept)}" if kept else ""
    return f"{parts.scheme}://{user}{at}{hosts}{parts.path}{query}"
