"""A WebSocket client that takes next to nothing of the processor, so that the server has the machine.

Messages are handed over in pieces that were encoded before and go to the kernel as they are: the frame's mask is
zero, which RFC 6455 section 5.3 allows and which spares going over every byte. Handshake, answers and pings are left
to the sans-I/O protocol of `websockets`.
"""

import select
import socket
import struct
from collections.abc import Sequence
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

__all__ = ["FastSocket"]

_PATIENCE_S = 30.0
_CHUNK = 1 << 16


class FastSocket:
    """One connection, of one thread.

    Args:
        url: of the server, `http://host:port`.
        path: of the socket.
    """

    def __init__(self, url: str, path: str) -> None:
        where = urlsplit(url)
        self._socket = socket.create_connection((where.hostname or "", where.port or 80), timeout=_PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._protocol = ClientProtocol(parse_uri("ws" + url.removeprefix("http") + path), max_size=None)
        self._protocol.send_request(self._protocol.connect())
        self._socket.sendall(b"".join(self._protocol.data_to_send()))
        while not self._protocol.events_received():
            self._protocol.receive_data(self._socket.recv(_CHUNK))
            if self._protocol.handshake_exc is not None:
                raise self._protocol.handshake_exc
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._rest: bytes | memoryview = b""

    @property
    def sending(self) -> bool:
        """Whether part of the last message is still to be sent: `flush` before the next `send`."""
        return len(self._rest) > 0

    def send(self, pieces: Sequence[bytes], size_bytes: int, *, text: bool = False) -> None:
        """Sends one message; what the kernel does not take at once stays for `flush`.

        Args:
            pieces: of the message, in order.
            size_bytes: of all of them.
            text: whether it is a text frame.
        """
        head = _head(Opcode.TEXT if text else Opcode.BINARY, size_bytes)
        try:
            sent = self._socket.sendmsg([head, *pieces])
        except BlockingIOError:
            sent = 0
        if sent < len(head) + size_bytes:
            self._rest = memoryview(b"".join([head, *pieces]))[sent:]

    def flush(self) -> None:
        """Sends more of what is left of the last message."""
        if not self.sending:
            return
        try:
            self._rest = self._rest[self._socket.send(self._rest) :]
        except BlockingIOError:
            return

    def wait(self, timeout_s: float) -> bool:
        """Waits until something can be read, or sent if something is left; False when nothing can by then."""
        self._poll.register(self._socket, select.POLLIN | (select.POLLOUT if self.sending else 0))
        return bool(self._poll.poll(max(0.0, timeout_s) * 1000))

    def receive(self) -> list[bytes]:
        """The messages that have arrived; does not wait.

        Raises:
            ConnectionError: the server has closed the connection.
        """
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return []
        self._protocol.receive_data(data) if data else self._protocol.receive_eof()
        messages = [
            bytes(event.data)
            for event in self._protocol.events_received()
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY)
        ]
        if not data or self._protocol.close_rcvd is not None:
            raise ConnectionError(f"the server closed the connection: {self._protocol.close_rcvd}")
        pongs = b"".join(self._protocol.data_to_send())
        if pongs and not self.sending:  # else the next ping is answered, which serves as well
            self._rest = memoryview(pongs)
            self.flush()
        return messages

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()


def _head(opcode: Opcode, size: int) -> bytes:
    """The head of a whole, masked frame with a mask of zeros (RFC 6455, section 5.2)."""
    first = 0x80 | opcode
    if size < 126:
        return struct.pack(">BBI", first, 0x80 | size, 0)
    if size < 1 << 16:
        return struct.pack(">BBHI", first, 0x80 | 126, size, 0)
    return struct.pack(">BBQI", first, 0x80 | 127, size, 0)
