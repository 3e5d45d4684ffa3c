"""What the small servers of cameras share: viewers that come by TCP, each served in a thread, and requests read from them."""

import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Self

__all__ = ["Listening", "read_head"]

_END = b"\r\n\r\n"


class Listening(ABC):
    """Listens at `127.0.0.1:{port}`; at the same port again after `stop` and `start`."""

    def __init__(self) -> None:
        self.port = 0
        self._listener: socket.socket | None = None
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listens."""
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self.begin(self._accept, self._listener, self._stopped)

    def stop(self) -> None:
        """Drops every viewer and listens no more."""
        self._stopped.set()
        for sock in (self._listener, *self._sockets):
            if sock is not None:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                sock.close()
        for thread in self._threads:
            thread.join(5)
        self._sockets.clear()
        self._threads.clear()

    def begin(self, work: Callable[..., None], *args: object) -> None:
        """Does work in a thread that `stop` waits for."""
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    @abstractmethod
    def serve(self, sock: socket.socket, stopped: threading.Event) -> None:
        """Serves one viewer until it leaves or `stopped` is set; a connection that breaks ends it."""

    def _accept(self, listener: socket.socket, stopped: threading.Event) -> None:
        while not stopped.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets.append(sock)
            self.begin(self._attend, sock, stopped)

    def _attend(self, sock: socket.socket, stopped: threading.Event) -> None:
        with sock, suppress(OSError):
            self.serve(sock, stopped)


def read_head(
    sock: socket.socket, buffered: bytes = b"", trim: Callable[[bytes], bytes] = bytes
) -> tuple[str, bytes] | None:
    """A request's lines, without the empty one, and what came behind it. None when the viewer left before.

    Args:
        sock: where from.
        buffered: what came behind the request before.
        trim: takes away from the front what is no request.
    """
    while _END not in (buffered := trim(buffered)):
        more = sock.recv(4096)
        if not more:
            return None
        buffered += more
    head, _, rest = buffered.partition(_END)
    return head.decode("latin-1"), rest
