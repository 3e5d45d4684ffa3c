"""`datamanager serve`: opens what the server needs, puts the parts together, and serves until told to stop."""

import argparse
import asyncio
import gc
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import uvicorn
from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin

from datamanager import __version__
from datamanager.clock import SystemClock
from datamanager.config import Config, load_config
from datamanager.errors import Unavailable
from datamanager.ingest.alerts import AlertWatch
from datamanager.ingest.analyse import AnalysePolicy
from datamanager.ingest.commit import Stores
from datamanager.ingest.enrich import EnrichPolicy
from datamanager.ingest.floors import FloorKeeper
from datamanager.ingest.newest import Newest
from datamanager.ingest.owners import Owners
from datamanager.ingest.policy import ThumbnailPolicy
from datamanager.ingest.results import ResultFeeder
from datamanager.ingest.routes import ingest_router
from datamanager.ingest.rpc.switchboard import Switchboard
from datamanager.ingest.series import SeriesFeeder
from datamanager.ingest.service import Ingest
from datamanager.ingest.uploads.parts import upload_parts
from datamanager.ingest.uploads.routes import upload_router
from datamanager.ingest.watch import LiveWatchers
from datamanager.kinds.examiner import open_examiner
from datamanager.kinds.time_series.flatten import Flattener
from datamanager.lingering import LingeringWebSocket
from datamanager.observability import configure_logging, get_logger
from datamanager.playback.aggregates import AggregateReader
from datamanager.playback.parts import playback_parts
from datamanager.playback.ranges import RangeReader
from datamanager.playback.routes import RequestTiming, playback_routers, problem_handlers
from datamanager.playback.samples import Samples
from datamanager.storage.alert_rules import AlertRules
from datamanager.storage.analytics import Analyses
from datamanager.storage.dead_letters import DeadLetters
from datamanager.storage.enrichments import Enrichments
from datamanager.storage.events import EventLog
from datamanager.storage.floors import Floors
from datamanager.storage.inference_feed import InferenceFeed
from datamanager.storage.inference_queue import InferenceQueue
from datamanager.storage.job_feed import open_job_feed
from datamanager.storage.jobs import JobQueue
from datamanager.storage.latest import LatestSamples
from datamanager.storage.ledgers import Ledgers
from datamanager.storage.lod import Lod
from datamanager.storage.migrations import apply_migrations
from datamanager.storage.mongo import Mongo, open_mongo
from datamanager.storage.records import RecordWrites
from datamanager.storage.redis import Redis, open_redis
from datamanager.storage.results import ResultFeed
from datamanager.storage.s3 import open_s3
from datamanager.storage.series import SeriesStore
from datamanager.storage.sessions import Sessions, Streams
from datamanager.storage.shed_counts import ShedCounts
from datamanager.storage.telemetry import Telemetry
from datamanager.storage.tier_requests import TierRequests
from datamanager.storage.tiers import FrameTiers
from datamanager.storage.url_secret import load_url_secret

__all__ = ["add_arguments", "build_app", "run"]

_log = get_logger(__name__)
_SETTLE_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments: settings come from the environment."""
    parser.add_argument("--host", help="address to listen on (DATAMANAGER_HOST)")
    parser.add_argument("--port", type=int, help="port to listen on (DATAMANAGER_PORT)")


def run(args: argparse.Namespace) -> int:
    """Serves until SIGTERM or SIGINT."""
    config = load_config()
    configure_logging(config.serve.log_level, config.serve.log_format)
    uvicorn.run(
        build_app,
        factory=True,
        host=args.host or config.serve.host,
        port=config.serve.port if args.port is None else args.port,
        loop="uvloop",
        ws=LingeringWebSocket,
        # Above the largest message, so that a message just too large is refused by name rather than by a closed socket.
        ws_max_size=2 * config.ingest.max_message_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        # While a slow database holds a sender back its socket is not read, and neither are its pongs.
        ws_ping_timeout=120,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    return 0


def build_app() -> Litestar:
    """The application; settings come from the environment."""
    config = load_config()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await _compose(app, config, stack)
            _spare_collector()
            yield

    return Litestar(
        lifespan=[lifespan],
        exception_handlers=problem_handlers(),
        middleware=[RequestTiming()],
        cors_config=_cors(config.serve.cors_origins),
        openapi_config=OpenAPIConfig(
            title="datamanager",
            version=__version__,
            path="/schema",
            render_plugins=[JsonRenderPlugin(path="/openapi.json"), SwaggerRenderPlugin()],
        ),
        request_max_body_size=64 * 1024 * 1024,
    )


async def _patiently(opening: Any) -> Any:
    """Calls until the servers behind us answer: they may start later than we do."""
    while True:
        try:
            return await opening()
        except Unavailable as error:
            _log.warning("waiting for a server", error=error.detail[:200])
            await asyncio.sleep(0.5)


async def _compose(app: Litestar, config: Config, stack: AsyncExitStack) -> None:
    clock = SystemClock()
    mongo = await stack.enter_async_context(open_mongo(config.mongo))
    redis = await stack.enter_async_context(open_redis(config.redis))
    s3 = await _patiently(lambda: stack.enter_async_context(open_s3(config.s3)))
    applied = await _patiently(lambda: apply_migrations(mongo))
    if applied:
        _log.info("migrations applied", numbers=[m.number for m in applied])
    telemetry, streams, lod = Telemetry(mongo), Streams(mongo), Lod(mongo)
    stores = Stores(telemetry, RecordWrites(mongo), Sessions(mongo), Ledgers(mongo))
    letters = DeadLetters(
        mongo, per_session=config.ingest.dead_letters_per_session, ttl_s=config.ingest.dead_letter_ttl_s
    )
    jobs = JobQueue(redis, clock)
    sheds = ShedCounts(mongo, clock)
    enrich = _enrich_policy(config, mongo, redis, sheds, clock)
    await _patiently(enrich.load)
    analyse = AnalysePolicy(Enrichments(mongo, redis), Analyses(mongo, clock), clock)
    await _patiently(analyse.load)
    feed = await stack.enter_async_context(open_job_feed(jobs))
    watchers = LiveWatchers(
        redis,
        jobs,
        clock,
        ThumbnailPolicy(config.worker.thumbnails_per_s),
        Flattener(max_channels=config.ingest.max_channels, max_depth=config.ingest.max_depth),
        Newest(LatestSamples(redis), clock),
        enrich,
        analyse,
        AlertWatch(AlertRules(mongo, clock), feed, clock),
    )
    examiner = await stack.enter_async_context(open_examiner(config))
    floors = FloorKeeper(Floors(mongo), feed, clock)
    ingest = Ingest(config.ingest, stores, streams, letters, s3, watchers, examiner, floors, clock)
    uploads = upload_parts(
        config,
        mongo=mongo,
        s3=s3,
        clock=clock,
        ingest=ingest,
        examiner=examiner,
        letters=letters,
        streams=streams,
    )
    feeder = SeriesFeeder(ingest, SeriesStore(mongo, clock, uuid4().hex), s3, examiner, clock)
    events = EventLog(redis, clock, kept=config.events.kept)
    results = ResultFeeder(ingest, ResultFeed(mongo, clock, uuid4().hex), events, redis, clock)
    owners = Owners(redis)
    switchboard = Switchboard(redis, clock)
    parts = playback_parts(
        config,
        mongo=mongo,
        s3=s3,
        redis=redis,
        clock=clock,
        url_secret=await _patiently(lambda: load_url_secret(mongo)),
        examiner=examiner,
        samples=Samples(streams, telemetry, lod),
        ranges=RangeReader(streams, telemetry, lod, config.playback),
        aggregates=AggregateReader(streams, telemetry, lod, config.playback),
        tier_requests=TierRequests(jobs, FrameTiers(mongo, clock), clock),
    )
    for router in (*playback_routers(parts), ingest_router(ingest, owners, switchboard)):
        app.register(router)
    app.register(upload_router(uploads))
    for work in (
        sheds.run(),  # the first to begin is the last to end, and writes what the others counted
        ingest.run(),
        feeder.run(),
        results.run(),
        uploads.upload_finisher.run(),
        owners.run(),
        switchboard.run(),
        watchers.run(),
        parts.live.run(),
        parts.model_keeper.run(),
        parts.event_hub.run(),
    ):
        _keep(stack, work)
    stack.push_async_callback(ingest.registry.settle, _SETTLE_S)


def _enrich_policy(config: Config, mongo: Mongo, redis: Redis, sheds: ShedCounts, clock: SystemClock) -> EnrichPolicy:
    inference = config.inference
    queue = InferenceQueue(redis, clock, sheds, max_waiting=inference.max_waiting)
    return EnrichPolicy(
        Enrichments(mongo, redis),
        queue,
        InferenceFeed(queue, sheds, clock),
        sheds,
        clock,
        shed_after_s=inference.shed_after_s,
        behind_waiting=max(1, inference.max_waiting // 2),
    )


def _cors(origins: str) -> CORSConfig | None:
    """None leaves browsers to their rule that only our own pages may call."""
    allowed = [origin.strip() for origin in origins.split(",") if origin.strip()]
    return CORSConfig(allow_origins=allowed, expose_headers=["ETag", "Retry-After"]) if allowed else None


def _spare_collector() -> None:
    """What is there by now lives as long as the process: walking it costs 50 ms, again and again, in the midst of answers."""
    gc.collect()
    gc.freeze()
    # A batch of 100 messages is about 700 containers: by default each one would set off a collection, in vain.
    gc.set_threshold(50_000, 20, 50)


def _keep(stack: AsyncExitStack, work: Any) -> None:
    """Runs work as long as the application lives; the process does not live on without it."""
    task = asyncio.create_task(work)

    def ended(task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.critical("the server stops, for a part of it failed", exc_info=error)
            signal.raise_signal(signal.SIGTERM)

    async def stop() -> None:
        task.cancel()
        await asyncio.wait({task})

    task.add_done_callback(ended)
    stack.push_async_callback(stop)
