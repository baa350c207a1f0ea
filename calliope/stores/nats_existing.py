"""Whether there is a journal in JetStream, asked without making one."""

import anyio
import anyio.to_thread

from calliope.stores.nats_address import NatsAddress
from calliope.stores.nats_connection import NatsConnection
from calliope.stores.nats_crossing import NatsThread
from calliope.stores.nats_errors import NoAnswerError, translated
from calliope.stores.nats_streams import is_there as stream_is_there


async def is_there(url: str) -> bool:
    """Tell whether there is a journal, or something else in its place, at a URL.

    Raises:
        ValueError: the URL is not understood.
        StorageError: no server can be connected to.
        JournalFormatError: the server is too old or has no JetStream.
    """
    address = NatsAddress.parse(url)
    thread = NatsThread()
    try:
        return await anyio.to_thread.run_sync(thread.run, _asked(address))
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(thread.stop)


async def _asked(address: NatsAddress) -> bool:
    connection = NatsConnection(address)
    try:
        await connection.open()
        return await stream_is_there(connection)
    except NoAnswerError as error:
        raise translated(error, address.shown) from error
    finally:
        await connection.close()
