"""The errors of `calliope`, as a tree shaped by the `except` clauses people write."""


class CalliopeError(Exception):
    """The root of everything that `calliope` raises about streams and journals."""
