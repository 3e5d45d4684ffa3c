"""Finds free ports on loopback that stay ours while a server restarts."""

import random
import socket
from collections.abc import Collection

from datamanager.errors import LocalServerError

__all__ = ["choose_port", "is_free"]

# Below the range that the kernel takes ports for outgoing connections from (32768 on Linux, 49152 elsewhere): while a
# killed server restarts, no client's connection can take its port.
_LOWEST, _HIGHEST = 20_000, 32_000
_TRIES = 2000


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on `port` now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: closed connections don't count
        try:
            probe.bind((host, port))
            probe.listen(1)  # a bind beside a listener succeeds on some systems; this does not
        except OSError:
            return False
        return True


def choose_port(preferred: int | None, taken: Collection[int], *, twin_offset: int = 0) -> int:
    """A free port: `preferred` if it is still free, else another.

    Args:
        preferred: the port of the last start, if there was one.
        taken: ports already given to others in this start.
        twin_offset: when not 0, the port that lies this far above must be free too.

    Raises:
        LocalServerError: no port is free.
    """
    offsets = {0, twin_offset}
    random_ports = (random.randrange(_LOWEST, _HIGHEST) - twin_offset for _ in range(_TRIES))  # noqa: S311  # no secret
    for port in (*([preferred] if preferred else []), *random_ports):
        wanted = {port + offset for offset in offsets}
        if wanted.isdisjoint(taken) and all(map(is_free, wanted)):
            return port
    raise LocalServerError(f"no free port on 127.0.0.1 between {_LOWEST} and {_HIGHEST}")
