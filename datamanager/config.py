"""The settings: the one place that reads the environment, once, into a frozen tree.

Every field is one variable, `DATAMANAGER_` + its section (but for `serve`-wide ones) + its name in capitals; its
metadata says what it means. `SETTINGS` lists them all, for the README's table and the test that holds both together.
"""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_type_hints

from datamanager.errors import ConfigError

__all__ = ["SETTINGS", "Config", "Setting", "environ_of", "given", "load_config"]

_MB = 1024 * 1024
T = TypeVar("T")


def _setting(default: T, variable: str, about: str, *, least: float | None = None, most: float | None = None) -> T:
    meta = {"variable": f"DATAMANAGER_{variable}", "about": about, "least": least, "most": most}
    return field(default=default, metadata=meta)  # a dataclass types a field as its value


@dataclass(frozen=True, slots=True, kw_only=True)
class MongoConfig:
    """Where MongoDB is."""

    url: str = _setting("mongodb://127.0.0.1:27017", "MONGO_URL", "address of MongoDB (server 6.0 or newer)")
    database: str = _setting("datamanager", "MONGO_DATABASE", "database that holds everything")
    timeout_s: float = _setting(
        10.0, "MONGO_TIMEOUT_S", "how long one call may take before it is tried again", least=0.5
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Config:
    """Where the bytes go."""

    endpoint: str = _setting("http://127.0.0.1:8333", "S3_ENDPOINT", "address of the S3 server")
    public_endpoint: str = _setting(
        "", "S3_PUBLIC_ENDPOINT", "address that pre-signed URLs name, when readers reach S3 by another one"
    )
    bucket: str = _setting("datamanager", "S3_BUCKET", "bucket that holds everything; made when it is not there")
    region: str = _setting("us-east-1", "S3_REGION", "region named in signatures")
    access_key: str = _setting("", "S3_ACCESS_KEY", "access key")
    secret_key: str = _setting("", "S3_SECRET_KEY", "secret key")
    timeout_s: float = _setting(30.0, "S3_TIMEOUT_S", "how long one call may take before it is tried again", least=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisConfig:
    """Where Redis is."""

    url: str = _setting("redis://127.0.0.1:6379/0", "REDIS_URL", "address of Redis (server 6.2 or newer)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """The HTTP and WebSocket server."""

    host: str = _setting("127.0.0.1", "HOST", "address that `serve` listens on")
    port: int = _setting(8080, "PORT", "port that `serve` listens on; 0 takes a free one", least=0, most=65535)
    url_ttl_s: int = _setting(3600, "URL_TTL_S", "how long a pre-signed URL is good for", least=1, most=604800)
    cors_origins: str = _setting(
        "", "CORS_ORIGINS", "origins, with commas, whose pages a browser lets call the API; `*` for any"
    )
    log_level: str = _setting("info", "LOG_LEVEL", "debug, info, warning or error")
    log_format: str = _setting("console", "LOG_FORMAT", "console or json")


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestConfig:
    """What a sender may do, and how much is held before it is durable."""

    window: int = _setting(8192, "WINDOW", "messages one connection may have un-acked", least=1)
    window_bytes: int = _setting(8 * _MB, "WINDOW_BYTES", "bytes one connection may have un-acked", least=1024)
    max_pending_bytes: int = _setting(
        128 * _MB, "MAX_PENDING_BYTES", "bytes that all connections of a process may have un-acked", least=_MB
    )
    max_message_bytes: int = _setting(32 * _MB, "MAX_MESSAGE_BYTES", "largest single message", least=1024)
    max_depth: int = _setting(64, "MAX_DEPTH", "deepest nesting of a payload", least=1, most=500)
    max_metadata_bytes: int = _setting(
        256 * 1024, "MAX_METADATA_BYTES", "largest metadata of one message, stream or hello", least=1024, most=4 * _MB
    )
    max_channels: int = _setting(8192, "MAX_CHANNELS", "most channels of one time_series stream", least=1)
    max_streams: int = _setting(4096, "MAX_STREAMS", "most streams of one session", least=1)
    max_batch_messages: int = _setting(100_000, "MAX_BATCH_MESSAGES", "most messages in one batch", least=1)
    flush_interval_s: float = _setting(
        1.0, "FLUSH_INTERVAL_S", "a sample waits at most this long for its block to be written", least=0.005, most=1.0
    )
    block_bytes: int = _setting(100_000, "BLOCK_BYTES", "a block this large is written at once", least=1000)
    max_block_bytes: int = _setting(4_000_000, "MAX_BLOCK_BYTES", "the largest block", least=1000, most=4_000_000)
    message_timeout_s: float = _setting(
        60.0, "MESSAGE_TIMEOUT_S", "a message that has begun to arrive over HTTP must be whole by then", least=0.1
    )
    dead_letter_bytes: int = _setting(65536, "DEAD_LETTER_BYTES", "bytes kept of one refused message", least=0)
    dead_letters_per_session: int = _setting(
        1000, "DEAD_LETTERS_PER_SESSION", "refused messages kept of one session", least=0
    )
    dead_letter_ttl_s: int = _setting(30 * 86400, "DEAD_LETTER_TTL_S", "how long dead letters are kept", least=60)
    clock_ahead_s: float = _setting(
        300.0, "CLOCK_AHEAD_S", "a time further ahead of the server's clock flags the session `clock_ahead`", least=0
    )
    rpc_timeout_s: float = _setting(30.0, "RPC_TIMEOUT_S", "how long a robot may take to answer a call", least=0.01)
    rpc_max_timeout_s: float = _setting(600.0, "RPC_MAX_TIMEOUT_S", "the most that a caller may ask for", least=0.01)
    rpc_max_calls: int = _setting(256, "RPC_MAX_CALLS", "calls that may wait for one robot, or of one socket", least=1)
    s3_concurrency: int = _setting(16, "S3_CONCURRENCY", "originals written to S3 at the same time", least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadsConfig:
    """Objects that are put into S3 without passing through the server."""

    part_bytes: int = _setting(
        64 * _MB,
        "UPLOAD_PART_BYTES",
        "uploads larger than this go in parts of this size, or of a multiple where there would be more than 10,000",
        least=5 * _MB,
        most=4096 * _MB,
    )
    max_bytes: int = _setting(
        1024 * 1024 * _MB, "UPLOAD_MAX_BYTES", "the largest upload", least=1, most=5 * 1024 * 1024 * _MB
    )
    ttl_s: int = _setting(86400, "UPLOAD_TTL_S", "an upload that is left alone for so long is given up", least=1)
    keep_s: int = _setting(30 * 86400, "UPLOAD_KEEP_S", "how long what became of an upload is told", least=60)
    wait_s: float = _setting(
        5.0, "UPLOAD_WAIT_S", "how long `complete` waits for the check of the bytes before it answers 202", least=0
    )
    lease_s: float = _setting(
        15.0, "UPLOAD_LEASE_S", "a check whose server has been silent for so long is begun again by another", least=0.5
    )
    sweep_s: float = _setting(10.0, "UPLOAD_SWEEP_S", "how often uploads that were left are looked for", least=0.1)
    concurrency: int = _setting(2, "UPLOAD_CONCURRENCY", "uploads that a server checks at the same time", least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KindsConfig:
    """How much content may hold: the fields of `datamanager.kinds.kind.KindLimits`."""

    max_pixels: int = _setting(100_000_000, "IMAGE_MAX_PIXELS", "largest picture that is taken", least=1)
    max_points: int = _setting(20_000_000, "CLOUD_MAX_POINTS", "largest point cloud that is taken", least=1)
    max_depth: int = _setting(64, "DOCUMENT_MAX_DEPTH", "deepest nesting of a document", least=1, most=500)
    max_document_bytes: int = _setting(
        32 * _MB, "DOCUMENT_MAX_BYTES", "largest document that is read whole: log, json, yaml, ...", least=1024
    )
    max_toml_bytes: int = _setting(
        512 * 1024, "TOML_MAX_BYTES", "largest TOML document: its parser reads about a megabyte a second", least=1024
    )
    max_scan_bytes: int = _setting(
        32 * _MB, "TABLE_SCAN_BYTES", "how far the rows of a csv are counted when it arrives", least=64 * 1024
    )
    max_tracks: int = _setting(64, "MEDIA_MAX_TRACKS", "most tracks of a video or sound file", least=1)
    max_header_bytes: int = _setting(
        8 * _MB, "SAFETENSORS_MAX_HEADER_BYTES", "largest header of a safetensors file", least=1024, most=100 * _MB
    )
    max_members: int = _setting(100_000, "ARCHIVE_MAX_MEMBERS", "most members of a zip; of a tar, most listed", least=1)
    max_unpacked_bytes: int = _setting(
        1024 * 1024 * _MB, "ARCHIVE_MAX_UNPACKED_BYTES", "most bytes that an archive's members may have in all", least=1
    )
    max_ratio: int = _setting(
        250, "ARCHIVE_MAX_RATIO", "most times that what is unpacked may outgrow what is packed, from 16 MiB on", least=2
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamineConfig:
    """The child processes in which content is looked at that nobody has vouched for."""

    processes: int = _setting(2, "EXAMINE_PROCESSES", "child processes of a server that look at content", least=1)
    cpu_s: float = _setting(1.5, "EXAMINE_CPU_S", "processor time that looking at one record may take", least=0.1)
    timeout_s: float = _setting(
        60.0, "EXAMINE_TIMEOUT_S", "time that looking at one record may take, on a machine however busy", least=0.1
    )
    memory_bytes: int = _setting(
        400 * _MB, "EXAMINE_MEMORY_BYTES", "memory of a child process that looks at content", least=64 * _MB
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybackConfig:
    """What a reader may ask for."""

    max_points: int = _setting(100_000, "MAX_POINTS", "most buckets that `max_points` may ask for", least=1)
    max_gathered_values: int = _setting(
        12_000_000,
        "MAX_GATHERED_VALUES",
        "most values of a range as JSON or MessagePack, which are gathered first",
        least=1,
    )
    page_limit: int = _setting(1000, "PAGE_LIMIT", "most items of one page", least=1)
    tier_wait_s: float = _setting(2.0, "TIER_WAIT_S", "how long a request waits for a tier made on demand", least=0)
    viewer_queue: int = _setting(
        1024, "VIEWER_QUEUE", "messages waiting for one live viewer before old ones go", least=1
    )
    cache_ttl_s: int = _setting(600, "CACHE_TTL_S", "how long an answer stays in Redis", least=1)
    similar_max_vectors: int = _setting(
        200_000, "SIMILAR_MAX_VECTORS", "most embeddings that one search for like frames looks at", least=1
    )
    similar_cache_bytes: int = _setting(
        64 * _MB, "SIMILAR_CACHE_BYTES", "memory of a server for embeddings that were looked at", least=_MB
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What the worker makes, and how hard it works."""

    concurrency: int = _setting(2, "WORKER_CONCURRENCY", "jobs one worker runs at the same time", least=1)
    thumbnails_per_s: float = _setting(
        1.0, "THUMBNAILS_PER_S", "tiers made ahead of time per stream and second; others on demand", least=0
    )
    job_retries: int = _setting(5, "JOB_RETRIES", "tries of a job before it is a dead letter", least=1)
    job_timeout_s: float = _setting(60.0, "JOB_TIMEOUT_S", "a job unfinished after this is taken over", least=1)
    sweep_interval_s: float = _setting(10.0, "SWEEP_INTERVAL_S", "how often lost jobs are looked for", least=0.1)
    metrics_host: str = _setting("127.0.0.1", "WORKER_METRICS_HOST", "address that a worker tells its metrics on")
    metrics_port: int = _setting(
        0, "WORKER_METRICS_PORT", "port that a worker tells its metrics on; 0: none", least=0, most=65535
    )
    media_processes: int = _setting(
        1, "MEDIA_PROCESSES", "child processes of a worker that decode sound and video", least=1
    )
    media_memory_bytes: int = _setting(
        1024 * _MB, "MEDIA_MEMORY_BYTES", "memory of a child process that decodes sound and video", least=256 * _MB
    )
    media_max_duration_s: float = _setting(
        14_400.0, "MEDIA_MAX_DURATION_S", "how much of a sound or video its previews are made of", least=1
    )
    audio_preview_s: float = _setting(
        1800.0, "AUDIO_PREVIEW_S", "how much of a sound its Opus preview is made of", least=1
    )
    video_max_pixels: int = _setting(
        36_000_000, "VIDEO_MAX_PIXELS", "largest pictures of a video that previews are made of", least=1
    )
    video_thumbnails: int = _setting(20, "VIDEO_THUMBNAILS", "most keyframes of a video that are made small", least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceConfig:
    """The models that enrich what comes in."""

    device: str = _setting("auto", "INFERENCE_DEVICE", "cuda, cpu, or auto: cuda where its provider really loads")
    models_dir: str = _setting(
        "", "MODELS_DIR", "folder in which a worker keeps models that it runs; empty: one in the temporary folder"
    )
    threads: int = _setting(1, "INFERENCE_THREADS", "threads that one model computes with on the CPU", least=1)
    target_ms: float = _setting(
        60.0, "INFERENCE_TARGET_MS", "time from arrival to result that batches are sized for", least=1
    )
    shed_after_s: float = _setting(
        1.0, "INFERENCE_SHED_AFTER_S", "a frame that waited longer is shed, unless it must not be", least=0.05
    )
    max_waiting: int = _setting(
        10_000, "INFERENCE_MAX_WAITING", "most frames that wait for models in one queue", least=1
    )
    waiting_bytes: int = _setting(
        256 * _MB,
        "INFERENCE_WAITING_BYTES",
        "memory of a worker for originals that wait for models; beyond it one frame of each model is held",
        least=0,
    )
    model_max_bytes: int = _setting(  # S3 takes no more in one PUT
        2048 * _MB, "MODEL_MAX_BYTES", "largest model that `models add` takes", least=1024, most=5 * 1024 * _MB
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsConfig:
    """What is told to whoever listens, and alerts."""

    kept: int = _setting(10_000, "EVENTS_KEPT", "events that each of the four event streams in Redis keeps", least=100)
    webhook_private: str = _setting(
        "deny",
        "WEBHOOK_PRIVATE",
        "allow: webhooks of alert rules may call private and loopback addresses; deny: public ones alone",
    )
    webhook_timeout_s: float = _setting(
        10.0, "WEBHOOK_TIMEOUT_S", "how long one call of a webhook may take", least=0.1, most=300
    )
    webhook_tries: int = _setting(
        10, "WEBHOOK_TRIES", "tries of a call, 1, 2, 4, ... 60 seconds apart, before it is given up", least=1
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalConfig:
    """The servers that `local` and `up` start."""

    data_dir: str = _setting("datamanager-data", "DATA_DIR", "folder that `local` and `up` keep everything in")
    mongo_cache_gb: float = _setting(
        1.0, "LOCAL_MONGO_CACHE_GB", "memory that the local mongod may use as cache", least=0.25, most=10_000
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything."""

    mongo: MongoConfig = field(default_factory=MongoConfig)
    s3: S3Config = field(default_factory=S3Config)
    redis: RedisConfig = field(default_factory=RedisConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)
    ingest: IngestConfig = field(default_factory=IngestConfig)
    uploads: UploadsConfig = field(default_factory=UploadsConfig)
    kinds: KindsConfig = field(default_factory=KindsConfig)
    examine: ExamineConfig = field(default_factory=ExamineConfig)
    playback: PlaybackConfig = field(default_factory=PlaybackConfig)
    worker: WorkerConfig = field(default_factory=WorkerConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    events: EventsConfig = field(default_factory=EventsConfig)
    local: LocalConfig = field(default_factory=LocalConfig)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, for the README's table."""

    variable: str
    default: object
    about: str


def _sections() -> dict[str, type[Any]]:
    return get_type_hints(Config)


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(f.metadata["variable"], f.default, f.metadata["about"])
    for section in _sections().values()
    for f in dataclasses.fields(section)
)


def load_config(environ: Mapping[str, str] | None = None) -> Config:
    """Reads the environment into a `Config`.

    Raises:
        ConfigError: a value is of the wrong type or out of bounds, or a `DATAMANAGER_` variable is unknown.
    """
    environ = os.environ if environ is None else environ
    known = {setting.variable for setting in SETTINGS}
    for variable in environ:
        if variable.startswith("DATAMANAGER_") and variable not in known:
            raise ConfigError(f"{variable} is no setting; see the README's table")
    return Config(**{name: _read_section(section, environ) for name, section in _sections().items()})


def given(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The `DATAMANAGER_` variables that are set, for telling a value that was chosen from a default."""
    environ = os.environ if environ is None else environ
    return {name: value for name, value in environ.items() if name.startswith("DATAMANAGER_")}


def environ_of(config: Config) -> dict[str, str]:
    """The variables that make `load_config` give `config` again: those that differ from their defaults."""
    return {
        f.metadata["variable"]: str(value)
        for section in (getattr(config, name) for name in _sections())
        for f in dataclasses.fields(section)
        if (value := getattr(section, f.name)) != f.default
    }


def _read_section(section: type[T], environ: Mapping[str, str]) -> T:
    hints = get_type_hints(section)
    found: dict[str, object] = {}
    for f in dataclasses.fields(section):  # type: ignore[arg-type]  # only called with our dataclasses
        text = environ.get(f.metadata["variable"])
        if text is not None:
            found[f.name] = _parse(text, hints[f.name], f.metadata)
    return section(**found)


def _parse(text: str, kind: type[Any], meta: Mapping[str, Any]) -> object:
    try:
        value = kind(text)
    except ValueError as exc:
        raise ConfigError(f"{meta['variable']}={text!r} is not of type {kind.__name__}: {meta['about']}") from exc
    if kind is not str:
        if value != value or (meta["least"] is not None and value < meta["least"]):  # noqa: PLR0124  # NaN
            raise ConfigError(f"{meta['variable']}={text!r} must be at least {meta['least']}")
        if meta["most"] is not None and value > meta["most"]:
            raise ConfigError(f"{meta['variable']}={text!r} must be at most {meta['most']}")
    return value
