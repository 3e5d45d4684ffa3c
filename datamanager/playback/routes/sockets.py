"""What routes of WebSockets to viewers share."""

import asyncio
from typing import Any

from litestar import WebSocket

__all__ = ["first_of", "send_frame", "until_gone"]


async def until_gone(socket: WebSocket[Any, Any, Any]) -> None:
    """Returns when the viewer has gone."""
    message: Any = None
    while message is None or message["type"] != "websocket.disconnect":
        message = await socket.receive()  # a viewer has nothing to say; what it says is not kept


async def send_frame(socket: WebSocket[Any, Any, Any], data: bytes | str) -> None:
    """Sends a text frame for text, and a binary one for bytes."""
    if isinstance(data, str):
        await socket.send({"type": "websocket.send", "text": data, "bytes": None})
    else:
        await socket.send({"type": "websocket.send", "bytes": data, "text": None})


async def first_of(*works: Any) -> None:
    """Runs works until one of them ends, and cancels the others. A send to a viewer that is gone is no error."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
