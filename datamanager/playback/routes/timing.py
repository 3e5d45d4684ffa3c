"""How long answers take to begin, by route: the middleware that the application registers."""

import time
from typing import Any

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from datamanager.observability import METRICS

__all__ = ["RequestTiming"]


class RequestTiming(ASGIMiddleware):
    """Observes `datamanager_request_seconds`. A route is its template, so that ids make no metrics."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Passes one request on."""
        began_s = time.perf_counter()

        async def observe(message: Any) -> None:
            if message["type"] == "http.response.start":
                route = f"{scope['method']} {scope.get('path_template') or 'unknown'}"  # type: ignore[typeddict-item]  # the scope of HTTP has a method
                METRICS.request_s.labels(route).observe(time.perf_counter() - began_s)
            await send(message)

        await next_app(scope, receive, observe)
