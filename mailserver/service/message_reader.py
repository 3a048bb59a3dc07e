"""The octets of one message, for who has leave to read them."""

from mailserver.crypto.blob import Decryptor
from mailserver.model.errors import Denied


class MessageReader:
    """Random access to the octets of one message; only the chunks asked for are opened."""

    def __init__(self, decryptor: Decryptor, size_bytes: int, readable_bytes: int) -> None:
        self._decryptor = decryptor
        self._readable_bytes = readable_bytes
        self.size_bytes = size_bytes

    def read(self, start: int, stop: int) -> bytes:
        """Raises Denied("permit") for octets whose reading is not in the log."""
        stop = min(stop, self.size_bytes)
        if stop > self._readable_bytes:
            raise Denied("permit")
        return self._decryptor.read(start, stop) if start < stop else b""
