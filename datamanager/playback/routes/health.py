"""`/health`, `/ready` and `/metrics`, without a prefix."""

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from datamanager.playback.health import HealthChecks, Readiness

__all__ = ["HEALTH_HANDLERS"]


@get("/health", summary="Whether this process is alive", tags=["operation"])
async def get_health() -> dict[str, str]:
    """Answers as long as the process serves; says nothing of the servers behind it."""
    return {"status": "alive"}


@get("/ready", summary="Whether the servers behind this one answer", tags=["operation"])
async def get_readiness(health: NamedDependency[HealthChecks]) -> Response[Readiness]:
    """The state of each server behind this one; 503 while one is away."""
    found = await health.check()
    return Response(found, status_code=HTTP_200_OK if found.ready else HTTP_503_SERVICE_UNAVAILABLE)


@get("/metrics", summary="Metrics for Prometheus", tags=["operation"], media_type="text/plain")
async def get_metrics() -> Response[bytes]:
    """Every metric of this process, in Prometheus' text format."""
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


HEALTH_HANDLERS = [get_health, get_readiness, get_metrics]
