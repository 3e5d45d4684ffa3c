"""The HTTP side of playback: what the application mounts, with every resource handed in."""

import dataclasses
from typing import Any

from litestar import Router
from litestar.di import Provide

from datamanager.playback.parts import PlaybackParts
from datamanager.playback.routes.alerts import ALERT_HANDLERS
from datamanager.playback.routes.documents import DOCUMENT_HANDLERS
from datamanager.playback.routes.enrichments import ENRICHMENT_HANDLERS
from datamanager.playback.routes.events import EVENT_HANDLERS
from datamanager.playback.routes.health import HEALTH_HANDLERS
from datamanager.playback.routes.live import LIVE_HANDLERS
from datamanager.playback.routes.logs import LOG_HANDLERS
from datamanager.playback.routes.members import MEMBER_HANDLERS
from datamanager.playback.routes.models import MODEL_HANDLERS
from datamanager.playback.routes.parameter_values import PARAMETER_HANDLERS
from datamanager.playback.routes.problems import problem_handlers
from datamanager.playback.routes.ranges import RANGE_HANDLERS
from datamanager.playback.routes.records import RECORD_HANDLERS
from datamanager.playback.routes.results import RESULT_HANDLERS
from datamanager.playback.routes.retrain import RETRAIN_HANDLERS
from datamanager.playback.routes.sessions import SESSION_HANDLERS
from datamanager.playback.routes.sounds import SOUND_HANDLERS
from datamanager.playback.routes.stats import STATS_HANDLERS
from datamanager.playback.routes.tensors import TENSOR_HANDLERS
from datamanager.playback.routes.texts import TEXT_HANDLERS
from datamanager.playback.routes.timing import RequestTiming
from datamanager.playback.routes.videos import VIDEO_HANDLERS

__all__ = ["RequestTiming", "playback_routers", "problem_handlers"]


def playback_routers(parts: PlaybackParts) -> list[Router]:
    """The routes: `/health`, `/ready`, `/metrics`, and the rest under `/api/v1`."""
    handed_in = {field.name: _given(getattr(parts, field.name)) for field in dataclasses.fields(parts)}
    return [
        Router("/", route_handlers=HEALTH_HANDLERS, dependencies={"health": handed_in["health"]}),
        Router(
            "/api/v1",
            route_handlers=[
                *SESSION_HANDLERS,
                *RANGE_HANDLERS,
                *STATS_HANDLERS,
                *RECORD_HANDLERS,
                *TENSOR_HANDLERS,
                *MEMBER_HANDLERS,
                *SOUND_HANDLERS,
                *VIDEO_HANDLERS,
                *DOCUMENT_HANDLERS,
                *LIVE_HANDLERS,
                *EVENT_HANDLERS,
                *ALERT_HANDLERS,
                *TEXT_HANDLERS,
                *LOG_HANDLERS,
                *PARAMETER_HANDLERS,
                *MODEL_HANDLERS,
                *ENRICHMENT_HANDLERS,
                *RETRAIN_HANDLERS,
                *RESULT_HANDLERS,
            ],
            dependencies=handed_in,
        ),
    ]


def _given(value: Any) -> Provide:
    return Provide(lambda: value, sync_to_thread=False)
