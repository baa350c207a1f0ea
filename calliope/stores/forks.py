"""How many forks led to this process: whoever keeps connections and threads must not use them in a child."""

import os

_count = 0


def fork_count() -> int:
    """Return a number that is another one in a child; asking for the process id at every call would cost more."""
    return _count


def _count_fork() -> None:
    global _count
    _count += 1


os.register_at_fork(after_in_child=_count_fork)
