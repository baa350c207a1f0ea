"""Frames that cannot be forged: each carries a MAC over its number within its direction of its connection.

So a frame that was replayed, left out, reordered, altered, sent back, or taken from another connection is none. HMAC
and its truncation to the left half: RFC 2104, section 5, and RFC 4868.
"""

import hmac

from replication.errors import MalformedMessageError

MAC_BYTES = 16


class Seal:
    """Numbers the frames of one direction and appends a MAC to each, or takes it off; without a key it does nothing."""

    def __init__(self, key: bytes | None) -> None:
        self._keyed = None if key is None else hmac.new(key, digestmod="sha256")
        self._number = 0
        self.overhead_bytes = 0 if key is None else MAC_BYTES

    def close(self, payload: bytes) -> bytes:
        """Return a frame that holds a payload."""
        return payload if self._keyed is None else payload + self._mac(payload)

    def open(self, frame: bytes) -> bytes | memoryview:
        """Return the payload of the next frame.

        Raises:
            MalformedMessageError: the frame is not the next one of this connection, or was altered.
        """
        if self._keyed is None:
            return frame
        view = memoryview(frame)
        payload, mac = view[:-MAC_BYTES], view[-MAC_BYTES:]
        number = self._number
        if len(frame) < MAC_BYTES or not hmac.compare_digest(mac, self._mac(payload)):
            raise MalformedMessageError(f"frame {number} of the connection is not what the peer sealed")
        return payload

    def _mac(self, payload: bytes | memoryview) -> bytes:
        assert self._keyed is not None
        mac = self._keyed.copy()
        mac.update(self._number.to_bytes(8, "big"))
        mac.update(payload)
        self._number += 1
        return mac.digest()[:MAC_BYTES]
