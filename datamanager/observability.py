"""Logs and metrics: one way to log, and one catalogue of every metric with its unit and meaning."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from datamanager.errors import ConfigError

__all__ = ["METRICS", "configure_logging", "get_logger", "served_metrics"]

_LEVELS = ("debug", "info", "warning", "error")
_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


def configure_logging(level: str, log_format: str) -> None:
    """Sets up structured logging to stderr.

    Args:
        level: debug, info, warning or error.
        log_format: `console` for people, `json` for machines.

    Raises:
        ConfigError: either word is none of these.
    """
    if level not in _LEVELS:
        raise ConfigError(f"DATAMANAGER_LOG_LEVEL={level!r} must be one of {', '.join(_LEVELS)}")
    if log_format not in ("console", "json"):
        raise ConfigError(f"DATAMANAGER_LOG_FORMAT={log_format!r} must be console or json")
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of one module."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(module=name)
    return logger


@contextmanager
def served_metrics(host: str, port: int) -> Iterator[None]:
    """Answers `GET /metrics` on a port of its own while the block runs, for a process that serves nothing else; 0: does not.

    Raises:
        ConfigError: the port cannot be had.
    """
    if port == 0:
        yield
        return
    try:
        server, thread = start_http_server(port, addr=host)
    except OSError as exc:
        raise ConfigError(f"DATAMANAGER_WORKER_METRICS_PORT={port} cannot be listened on: {exc}") from exc
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Metrics:
    """The catalogue. Names end in their unit."""

    def __init__(self) -> None:
        self.messages = Counter("datamanager_messages_total", "Data messages taken in, by kind", ["kind"])
        self.rejects = Counter("datamanager_rejects_total", "Messages refused, by reject code", ["code"])
        self.samples = Counter("datamanager_samples_total", "Samples made durable")
        self.ingest_bytes = Counter("datamanager_ingest_bytes_total", "Bytes received from senders")
        self.pending_bytes = Gauge("datamanager_pending_bytes", "Bytes received and not yet durable")
        self.connections = Gauge("datamanager_connections", "Open sockets, by use", ["use"])
        self.ack_s = Histogram("datamanager_ack_seconds", "From a message's arrival to durable", buckets=_LATENCY_S)
        self.commit_s = Histogram(
            "datamanager_commit_seconds", "One durable write, by store", ["store"], buckets=_LATENCY_S
        )
        self.commit_retries = Counter("datamanager_commit_retries_total", "Durable writes tried again", ["store"])
        self.live_dropped = Counter("datamanager_live_dropped_total", "Live messages a slow viewer did not get")
        self.jobs = Counter("datamanager_jobs_total", "Jobs finished, by kind and outcome", ["kind", "outcome"])
        self.job_s = Histogram("datamanager_job_seconds", "One job, by kind", ["kind"], buckets=_LATENCY_S)
        self.request_s = Histogram(
            "datamanager_request_seconds", "One HTTP request until its answer begins", ["route"], buckets=_LATENCY_S
        )
        self.cache = Counter("datamanager_cache_total", "Look-ups in Redis, by cache and outcome", ["cache", "outcome"])
        self._inference()

    def _inference(self) -> None:
        self.inference_s = Histogram(
            "datamanager_inference_seconds", "One call of a model, by model", ["model"], buckets=_LATENCY_S
        )
        self.enrichment_s = Histogram(
            "datamanager_enrichment_seconds",
            "From a frame's arrival to its stored result, by model",
            ["model"],
            buckets=_LATENCY_S,
        )
        self.inference_batch = Histogram(
            "datamanager_inference_batch_frames", "Frames of one call, by model", ["model"], buckets=_BATCHES
        )
        self.results = Counter("datamanager_results_total", "Results, by model and status", ["model", "status"])
        self.shed = Counter(
            "datamanager_shed_total", "Frames that an enrichment did not look at, by reason", ["enrichment", "reason"]
        )
        self.inference_waiting = Gauge(
            "datamanager_inference_waiting", "Frames that wait for models, by urgency", ["urgency"]
        )
        self.inference_held = Gauge(
            "datamanager_inference_held_bytes", "Originals that this worker holds for its models"
        )
        self.inference_oldest_s = Gauge(
            "datamanager_inference_oldest_seconds", "How long the oldest of them has waited, by urgency", ["urgency"]
        )
        self.sampling = Gauge(
            "datamanager_sampling_ratio", "Part of the frames that is looked at, by enrichment", ["enrichment"]
        )
        self.breaker = Gauge(
            "datamanager_breaker_state", "Circuit breaker: 0 closed, 1 half open, 2 open", ["model", "device"]
        )
        self.gpu = Gauge("datamanager_gpu_utilisation_ratio", "How busy a GPU is", ["gpu"])
        self.gpu_memory = Gauge("datamanager_gpu_memory_bytes", "Memory of a GPU, by what of it", ["gpu", "of"])
        self.analysed = Counter(
            "datamanager_analysed_windows_total", "Windows of telemetry looked at, by rule", ["rule"]
        )

        self.alerts = Counter(
            "datamanager_alerts_total", "Alerts told of, by what they did: fired or cleared", ["said"]
        )
        self.webhooks = Counter("datamanager_webhooks_total", "Calls of webhooks, by outcome", ["outcome"])


METRICS = _Metrics()
