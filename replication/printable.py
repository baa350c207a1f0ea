"""Text that somebody else chose, made safe for a terminal and for a log, where a line is a line."""

LENGTH_MAX = 1_000
"""Characters; what is longer is cut."""


def printable(text: str, length: int = LENGTH_MAX) -> str:
    """Return a text that cannot move a terminal's cursor, nor begin a line of its own."""
    shown = text if len(text) <= length else f"{text[: length - 1]}…"
    return shown if shown.isprintable() else shown.encode("unicode_escape").decode()
