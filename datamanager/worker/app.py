"""The worker's composition root: opens what it needs, puts it together, and runs it until a signal comes."""

import argparse
import asyncio
import os
import signal
import socket
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from datamanager.clock import Clock, SystemClock
from datamanager.config import Config, load_config
from datamanager.kinds.images.info import ImageLimits
from datamanager.observability import configure_logging, get_logger, served_metrics
from datamanager.processes import ProcessPool
from datamanager.storage.derivations import Derivations
from datamanager.storage.enrichments import Enrichments
from datamanager.storage.events import EventLog
from datamanager.storage.floors import Floors
from datamanager.storage.inference_queue import InferenceQueue
from datamanager.storage.jobs import JobQueue
from datamanager.storage.lod import Lod
from datamanager.storage.models import Models
from datamanager.storage.mongo import Mongo, open_mongo
from datamanager.storage.redis import Redis, open_redis
from datamanager.storage.results import ResultStore
from datamanager.storage.rollup import ROLLUP_JOB, Rollup
from datamanager.storage.s3 import S3, open_s3
from datamanager.storage.sessions import Streams
from datamanager.storage.shed_counts import ShedCounts
from datamanager.storage.telemetry import Telemetry
from datamanager.storage.thumbnails import Thumbnails
from datamanager.storage.tiers import TIERS_JOB, FrameTiers
from datamanager.storage.unenriched import Unenriched
from datamanager.storage.url_secret import load_url_secret
from datamanager.worker.alerts.parts import open_alert_parts
from datamanager.worker.analytics.parts import open_analytics
from datamanager.worker.enrich.gpu import GpuWatch
from datamanager.worker.enrich.service import EnrichService
from datamanager.worker.enrich.sweep import EnrichSweep
from datamanager.worker.handlers import Handlers, each
from datamanager.worker.make_tiers import MakeTiers
from datamanager.worker.media.handlers import media_handlers
from datamanager.worker.media.make import MediaStores
from datamanager.worker.outage import outlast
from datamanager.worker.rollups import Rollups
from datamanager.worker.runner import Runner
from datamanager.worker.sweep import Sweep

__all__ = ["add_arguments", "run", "work"]

_log = get_logger(__name__)
_FRAME_TIMEOUT_S = 10.0  # a frame takes milliseconds: whoever holds it for so long and does not say so is gone
_ROLLUP_TIMEOUT_S = 600.0  # what a job that takes longer has done stays done


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The worker has no arguments: all its settings are variables."""
    parser.epilog = "Settings are variables: see the README's table. SIGTERM lets it finish the jobs it has taken."


def run(args: argparse.Namespace) -> int:  # noqa: ARG001  # every command is called alike
    """Runs a worker until SIGTERM or SIGINT.

    Returns:
        The exit status.

    Raises:
        ConfigError: a setting is wrong.
    """
    config = load_config()
    configure_logging(config.serve.log_level, config.serve.log_format)
    asyncio.run(_run_until_signal(config))
    return 0


async def _run_until_signal(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await work(config, stop)


async def work(config: Config, stop: asyncio.Event) -> None:
    """Does jobs until `stop` is set and those taken are finished. Waits for servers that are away, however long.

    Raises:
        ConfigError: an address cannot be read.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        mongo = await stack.enter_async_context(open_mongo(config.mongo))
        redis = await stack.enter_async_context(open_redis(config.redis))
        s3 = await outlast(stop, lambda: stack.enter_async_context(open_s3(config.s3)))
        if s3 is None:
            return
        secret = await outlast(stop, lambda: load_url_secret(mongo))
        if secret is None:
            return
        queue = JobQueue(redis, clock, consumer=_consumer(), max_tries=config.worker.job_retries)
        analytics = await stack.enter_async_context(
            open_analytics(config, mongo, redis, s3, clock, queue, secret, _models_folder(config))
        )
        alerts = await stack.enter_async_context(open_alert_parts(config, mongo, redis, clock, queue))
        runner, sweep = await stack.enter_async_context(
            _put_together(config, clock, mongo, s3, queue, {**analytics.handlers, **alerts.handlers})
        )
        sheds = ShedCounts(mongo, clock)
        gpu = GpuWatch(clock)
        enrich, enrich_sweep = _enrichment(config, clock, mongo, redis, s3, sheds, gpu)
        stack.enter_context(served_metrics(config.worker.metrics_host, config.worker.metrics_port))
        _log.info("worker is ready", concurrency=config.worker.concurrency)
        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(each) for each in (sheds.run(), gpu.run())]
            async with asyncio.TaskGroup() as works:
                sweeps = (sweep, enrich_sweep, analytics.sweep, alerts.sweep)
                for work in (runner, enrich, alerts.deliveries, *sweeps):
                    works.create_task(work.run(stop))
            for task in beside:
                task.cancel()
    _log.info("worker has left")


@asynccontextmanager
async def _put_together(
    config: Config, clock: Clock, mongo: Mongo, s3: S3, queue: JobQueue, more: Handlers
) -> AsyncIterator[tuple[Runner, Sweep]]:
    worker = config.worker
    frames = FrameTiers(mongo, clock)
    derivations = Derivations(mongo, clock)
    async with (
        ProcessPool(worker.concurrency, timeout_s=worker.job_timeout_s, preload=["datamanager.worker.child"]) as pool,
        _media_pool(config) as media_pool,
    ):
        stores = MediaStores(s3, derivations, media_pool, pool)
        media = media_handlers(config.worker, queue, stores, Thumbnails(mongo, clock))
        handlers = _handlers(config, clock, mongo, s3, frames, pool)
        runner = Runner(queue, {**handlers, **media, **more}, job_timeout_s=worker.job_timeout_s)
        yield (
            runner,
            Sweep(
                queue,
                runner,
                frames,
                derivations,
                Floors(mongo),
                clock,
                interval_s=worker.sweep_interval_s,
                job_timeout_s=worker.job_timeout_s,
            ),
        )


def _enrichment(
    config: Config, clock: Clock, mongo: Mongo, redis: Redis, s3: S3, sheds: ShedCounts, gpu: GpuWatch
) -> tuple[EnrichService, EnrichSweep]:
    inference, worker = config.inference, config.worker
    name = _consumer()
    job_timeout_s = min(worker.job_timeout_s, _FRAME_TIMEOUT_S)
    queue = InferenceQueue(redis, clock, sheds, consumer=name, max_waiting=inference.max_waiting)
    rules, store = Enrichments(mongo, redis), ResultStore(mongo, redis, clock)
    service = EnrichService(
        queue,
        rules,
        Models(mongo, s3, redis, clock),
        store,
        s3,
        clock,
        inference,
        _models_folder(config),
        EventLog(redis, clock, kept=config.events.kept),
        gpu,
        name=name,
        job_timeout_s=job_timeout_s,
    )
    sweep = EnrichSweep(
        queue,
        Unenriched(mongo, clock),
        rules,
        service.receive,
        service.give_up,
        clock,
        interval_s=worker.sweep_interval_s,
        job_timeout_s=job_timeout_s,
    )
    return service, sweep


def _models_folder(config: Config) -> Path:
    """Where models lie on this machine."""
    folder = config.inference.models_dir
    return Path(folder) if folder else Path(tempfile.gettempdir()) / f"datamanager-models-{os.getuid()}"


def _consumer() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def _media_pool(config: Config) -> ProcessPool:
    """Children for sound and video: they start when they are first needed, and may not grow without end."""
    return ProcessPool(
        config.worker.media_processes,
        timeout_s=config.worker.job_timeout_s,
        memory_bytes=config.worker.media_memory_bytes,
        eager=False,
    )


def _handlers(config: Config, clock: Clock, mongo: Mongo, s3: S3, frames: FrameTiers, pool: ProcessPool) -> Handlers:
    limits = ImageLimits(max_pixels=config.kinds.max_pixels, max_points=config.kinds.max_points)
    telemetry, streams = Telemetry(mongo), Streams(mongo)
    rollups = Rollups(Floors(mongo), streams, Rollup(telemetry, streams, Lod(mongo)), clock)
    return {
        TIERS_JOB: MakeTiers(s3, frames, Thumbnails(mongo, clock), pool, limits),
        ROLLUP_JOB: each(rollups, timeout_s=_ROLLUP_TIMEOUT_S),
    }
