"""Messages in frames: a connection carries a stream of bytes, cut into frames; in it each message follows its length.

    stream    [length, 4 bytes, big-endian][message] [length][message] …
    frame     the next bytes of the stream, at most `FRAME_BYTES_MAX` with what seals them; an empty one says "alive"

So many small messages share a frame, and a large one takes several, without a header for either case.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from replication.errors import MalformedMessageError
from replication.wire import MESSAGE_BYTES_MAX

FRAME_BYTES_MAX = 256 * 1024

_LENGTH_BYTES = 4


def framed(messages: Iterable[bytes], payload_bytes_max: int) -> Iterator[bytes]:
    """Yield the payloads of frames that hold messages: as few as hold them."""
    parts: list[bytes | memoryview] = []
    room = payload_bytes_max
    for message in messages:
        for part in (len(message).to_bytes(_LENGTH_BYTES, "big"), message):
            rest: bytes | memoryview = part
            while len(rest) > room:
                rest = memoryview(rest)
                parts.append(rest[:room])
                rest = rest[room:]
                yield b"".join(parts)
                parts, room = [], payload_bytes_max
            parts.append(rest)
            room -= len(rest)
    if room < payload_bytes_max:
        yield b"".join(parts)


class Reassembly:
    """Puts messages together again from the payloads of frames.

    Attributes:
        ready: whole messages, in order.
    """

    def __init__(self) -> None:
        self.ready: deque[bytes] = deque()
        self._held = bytearray()
        self._wanted = _LENGTH_BYTES

    @property
    def begun_bytes(self) -> int:
        """How long the message is that has arrived in part; 0 if there is none, or its length is not known yet."""
        return self._wanted - _LENGTH_BYTES

    def feed(self, payload: bytes | memoryview) -> None:
        """Take the next payload.

        Raises:
            MalformedMessageError: it announces a message that is larger than any may be.
        """
        if not self._held:
            self._split(memoryview(payload))
            return
        self._held += payload
        if len(self._held) >= self._wanted:
            held, self._held = self._held, bytearray()
            self._split(memoryview(held))

    def _split(self, stream: memoryview) -> None:
        place, end, self._wanted = 0, len(stream), _LENGTH_BYTES
        while end - place >= _LENGTH_BYTES:
            begin = place + _LENGTH_BYTES
            length = int.from_bytes(stream[place:begin], "big")
            if length > MESSAGE_BYTES_MAX:
                raise MalformedMessageError(f"a message of {length} bytes is announced, more than {MESSAGE_BYTES_MAX}")
            if end - begin < length:
                self._wanted = _LENGTH_BYTES + length
                break
            place = begin + length
            self.ready.append(bytes(stream[begin:place]))
        self._held += stream[place:]
