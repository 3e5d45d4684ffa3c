"""A server's WebSocket whose last word arrives, also where the peer is still sending.

A TCP socket that is closed with bytes unread in it is reset (RFC 1122, 4.2.2.13), and a reset throws away what the peer
has not read yet: of a message refused half-way through, the sender would see a broken connection (1006) and never the
close frame that says why (1009). So only our sending side is closed at first, and the socket a while later (RFC 6455,
7.1.1). What still comes is not read meanwhile: a sender that is held back gets round to reading, and one that sends a
gigabyte costs nothing.
"""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

__all__ = ["LingeringWebSocket"]


class LingeringWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, which says why it refused a frame before it goes."""

    linger_s = 2.0
    _refused = False

    def data_received(self, data: bytes) -> None:
        """Takes bytes in; what was on its way when a frame was refused is dropped."""
        if not self._refused:
            super().data_received(data)

    def handle_parser_exception(self) -> None:
        """Tells the application and the peer, and leaves the socket open until the peer has read it."""
        if self._refused:
            return
        self._refused = True
        self.stop_keepalive()
        close = self.conn.close_sent
        if close is None:  # the connection had broken off already: nobody is left to tell
            self.transport.close()
            return
        self.frames = []
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        if not self.read_paused:
            self.transport.pause_reading()
        self.read_paused = False  # else the application's `receive` would go on reading
        self.close_timer = self.loop.call_later(self.linger_s, self.transport.close)
