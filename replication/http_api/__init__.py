"""The HTTP API of a node, for other processes and for `curl`."""
