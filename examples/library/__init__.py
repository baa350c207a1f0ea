"""A lending library: books are registered, lent and returned."""
