"""Finds free ports on loopback, and keeps them ours while a server restarts."""

import random
import socket
import sys
from typing import Self

from datamanager.errors import LocalServerError

__all__ = ["HeldPorts", "is_free"]

# Below the range that the kernel takes ports for outgoing connections from (32768 on Linux, 49152 elsewhere): while a
# killed server restarts, no client's connection can take its port.
_LOWEST, _HIGHEST = 20_000, 32_000
_TRIES = 2000


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: closed connections don't count
        try:
            probe.bind((host, port))
            probe.listen(1)  # a bind beside a listener succeeds on some systems; this does not
        except OSError:
            return False
        return True


class HeldPorts:
    """Ports that no other holder on this machine is given while this one is open, whether anybody listens or not.

    Else a start could take the port of a server that was killed a moment ago and is about to come back.
    """

    def __init__(self) -> None:
        self._locks: dict[int, socket.socket] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for lock in self._locks.values():
            lock.close()
        self._locks.clear()

    def hold(self, *ports: int) -> bool:
        """Takes all of `ports`, or, when a holder (us included) has one of them, none."""
        for port in ports:
            lock = _lock(port)
            if lock is None:
                for taken in ports[: ports.index(port)]:
                    self._locks.pop(taken).close()
                return False
            self._locks[port] = lock
        return True

    def choose(self, preferred: int | None = None, *, twin_offset: int = 0) -> int:
        """Takes a free port: `preferred` where it is still free, else any.

        Args:
            preferred: the port of the last start, if there was one.
            twin_offset: when not 0, the port that lies this far above is taken too.

        Raises:
            LocalServerError: no port is free.
        """
        offsets = (0, twin_offset) if twin_offset else (0,)
        others = (random.randrange(_LOWEST, _HIGHEST) - twin_offset for _ in range(_TRIES))  # noqa: S311  # no secret
        for port in (*([preferred] if preferred else []), *others):
            wanted = [port + offset for offset in offsets]
            if all(map(is_free, wanted)) and self.hold(*wanted):
                return port
        raise LocalServerError(f"no free port on 127.0.0.1 between {_LOWEST} and {_HIGHEST}")


def _lock(port: int) -> socket.socket | None:
    """Something that only one process can have and that goes with it: a socket of a name that is no file's.

    Elsewhere than on Linux there are no such names, and nothing is held.
    """
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if sys.platform == "linux":
        try:
            lock.bind(f"\0datamanager-port-{port}")
        except OSError:
            lock.close()
            return None
    return lock
