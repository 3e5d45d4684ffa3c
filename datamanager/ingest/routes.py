"""Where ingest is reached: `WS /api/v1/ingest` (alias `/ws`) and `POST /api/v1/ingest`."""

from collections.abc import AsyncIterator
from typing import Any

from litestar import Request, Router, WebSocket, post, websocket
from litestar.di import Provide
from litestar.exceptions import InternalServerException
from litestar.status_codes import HTTP_200_OK

from datamanager.ingest.body import BodyIngest
from datamanager.ingest.closed import Closed
from datamanager.ingest.connection import Connection
from datamanager.ingest.owners import Owners
from datamanager.ingest.rpc.routes import RPC_HANDLERS
from datamanager.ingest.rpc.switchboard import Switchboard
from datamanager.ingest.service import Ingest

__all__ = ["ingest_router"]


@websocket(["/api/v1/ingest", "/ws"])
async def ingest_socket(
    socket: WebSocket[Any, Any, Any], ingest: Ingest, owners: Owners, switchboard: Switchboard
) -> None:
    """One session's socket."""
    await socket.accept()
    asgi_receive = socket.receive
    asgi_send = socket.send

    async def receive() -> bytes | str:
        event: Any = await asgi_receive()
        if event["type"] != "websocket.receive":
            raise Closed
        text = event.get("text")
        return event["bytes"] if text is None else text  # type: ignore[no-any-return]  # one of them is there

    async def send(data: bytes | str) -> None:
        if isinstance(data, str):
            await tell({"type": "websocket.send", "text": data, "bytes": None})
        else:
            await tell({"type": "websocket.send", "bytes": data, "text": None})

    async def close(code: int, reason: str) -> None:
        await tell({"type": "websocket.close", "code": code, "reason": reason})

    async def tell(event: Any) -> None:
        try:
            await asgi_send(event)
        except (OSError, RuntimeError) as exc:  # so the server says that the peer is gone, or was closed by itself
            raise Closed from exc

    await Connection(ingest, owners, switchboard, receive, send, close).run()


@post("/api/v1/ingest", status_code=HTTP_200_OK, request_max_body_size=None)
async def ingest_body(request: Request[Any, Any, Any], ingest: Ingest) -> dict[str, Any]:
    """A body of messages, of any length; the answer comes once all of it is durable."""
    return await BodyIngest(ingest, request.headers.get("content-type", "")).run(_pieces(request))


async def _pieces(request: Request[Any, Any, Any]) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            yield piece
    except InternalServerException as exc:  # all that it raises, and only when the peer left in the middle of its body
        raise Closed from exc


def ingest_router(ingest: Ingest, owners: Owners, switchboard: Switchboard) -> Router:
    """The routes, with what they need handed in."""
    return Router(
        "/",
        route_handlers=[ingest_socket, ingest_body, *RPC_HANDLERS],
        dependencies={
            "ingest": Provide(lambda: ingest, sync_to_thread=False),
            "owners": Provide(lambda: owners, sync_to_thread=False),
            "switchboard": Provide(lambda: switchboard, sync_to_thread=False),
        },
    )
