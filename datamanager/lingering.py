"""A server's WebSocket whose last word arrives, also where the peer is still sending.

A TCP socket that is closed with bytes unread in it is reset (RFC 1122, 4.2.2.13), and a reset throws away what the peer
has not read yet: of a message refused half-way through, the sender would see a broken connection (1006) and never the
close frame that says why (1009). So the sending side is closed first, what still comes is dropped, and the socket goes
when the peer has closed its own side, or a while later (RFC 6455, 7.1.1).
"""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

__all__ = ["LingeringWebSocket"]


class LingeringWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, which says why it refused a frame before it goes."""

    _refused = False

    def data_received(self, data: bytes) -> None:
        """Takes bytes in, or drops them once a frame was refused."""
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
        self.transport.resume_reading()  # what waits in the socket has to be read for the peer's close to be seen
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)
