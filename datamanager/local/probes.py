"""Asks each server, in its own protocol, whether it answers: a port that is open is not yet a server that works."""

import asyncio
import contextlib
import json
import struct

__all__ = ["http_answers", "mongod_answers", "redis_answers", "weed_answers"]

_PATIENCE_S = 2.0
_MOST_BYTES = 1 << 20
_OP_MSG = (
    2013  # the only opcode of a modern server: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
)


async def mongod_answers(port: int) -> bool:
    """Whether the mongod on loopback answers `hello` as one that takes writes."""
    fields = b"\x10hello\x00" + struct.pack("<i", 1) + b"\x02$db\x00" + struct.pack("<i", 6) + b"admin\x00"
    document = struct.pack("<i", len(fields) + 5) + fields + b"\x00"
    body = struct.pack("<IB", 0, 0) + document
    reply = await _exchange("127.0.0.1", port, struct.pack("<iiii", 16 + len(body), 1, 0, _OP_MSG) + body, enough=1)
    return b"\x08isWritablePrimary\x00\x01" in reply


async def redis_answers(port: int) -> bool:
    """Whether the Redis on loopback answers `PING`."""
    return (await _exchange("127.0.0.1", port, b"PING\r\n", enough=7)).startswith(b"+PONG")


async def weed_answers(s3_port: int, master_port: int) -> bool:
    """Whether the S3 port answers and there is a volume server behind it that takes bytes."""
    status, _ = await _get("127.0.0.1", s3_port, "/")
    if not 200 <= status < 500:
        return False
    status, body = await _get("127.0.0.1", master_port, "/dir/status")
    return status == 200 and json.loads(body)["Topology"]["Max"] > 0


async def http_answers(host: str, port: int, path: str) -> bool:
    """Whether `GET path` gives 200."""
    return (await _get(host, port, path))[0] == 200


async def _get(host: str, port: int, path: str) -> tuple[int, bytes]:
    name = f"[{host}]" if ":" in host else host
    request = f"GET {path} HTTP/1.1\r\nHost: {name}:{port}\r\nConnection: close\r\n\r\n".encode()
    head, _, body = (await _exchange(host, port, request, enough=_MOST_BYTES)).partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    return (int(words[1]) if len(words) == 3 and words[1].isdigit() else 0), body


async def _exchange(host: str, port: int, request: bytes, *, enough: int) -> bytes:
    """Sends `request` and reads until the other side closes or has sent `enough` bytes; `b""` when nobody is there."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                received = b""
                while len(received) < enough and (more := await reader.read(65536)):
                    received += more
                return received
            finally:
                writer.close()
                with contextlib.suppress(OSError):  # we have what we came for
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return b""
