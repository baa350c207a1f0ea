"""Addresses: "host:port", with IPv6 hosts in brackets."""

import ipaddress

from calliope.limits import checked_text

ADDRESS_BYTES_MAX = 300
"""UTF-8 bytes of "host:port"."""

PORT_MAX = 65_535


def parsed(address: object, *, port_minimum: int = 1) -> tuple[str, int]:
    """Return host and port of "host:port", "[::1]:port".

    Args:
        address: what is parsed.
        port_minimum: 0 where the system may pick a free port.

    Raises:
        TypeError: it is no str.
        ValueError: it is something else; the error says what.
    """
    text = checked_text("address", address, ADDRESS_BYTES_MAX)
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError(f"address {text!r} must be host:port, such as 127.0.0.1:7401 or [::1]:7401")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and port_minimum <= int(port) <= PORT_MAX):
        raise ValueError(f"address {text!r} must end in a port from {port_minimum} to {PORT_MAX}, not {port!r}")
    if host.startswith("[") and host.endswith("]"):
        return _checked_ipv6(text, host[1:-1]), int(port)
    if ":" in host:
        raise ValueError(f"address {text!r} must have brackets around its IPv6 host: [{host}]:{port}")
    if any(character.isspace() or character in "/@?#[]%" for character in host):
        raise ValueError(f"address {text!r} must be host:port; {host!r} is no host")
    return host, int(port)


def joined(host: str, port: int) -> str:
    """Return "host:port", with brackets where they are needed."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine, and nobody else can reach it."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_unspecified(host: str) -> bool:
    """Say whether a host means all interfaces, and so is of no use to others."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _checked_ipv6(address: str, host: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError as error:
        raise ValueError(f"address {address!r} must have an IPv6 host in its brackets: {error}") from None
