"""Whether there is a journal on a PostgreSQL server, asked without making one."""

from calliope.stores.postgres_address import PostgresAddress

_EXISTS = (
    "SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE nspname = %s AND relname = 'journal'"
)


def is_there(url: str) -> bool:
    """Tell whether there is a journal, or something else in its place, at a URL.

    Raises:
        ValueError: the URL is not understood.
        StorageError: the server cannot be connected to.
        JournalFormatError: the server is too old.
    """
    address = PostgresAddress.parse(url)
    with address.connect() as connection:
        return connection.execute(_EXISTS, (address.schema,)).fetchone() is not None
