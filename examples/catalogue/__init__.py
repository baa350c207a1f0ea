"""A catalogue of products: created, renamed and deleted concurrently, and followed live."""
