"""Everything that browsing, records and frames are made of, put together from what the application opened."""

from dataclasses import dataclass

from datamanager.clock import Clock
from datamanager.config import Config
from datamanager.inference.zoo import ZOO
from datamanager.kinds.examiner import Examiner
from datamanager.playback.aggregates import AggregateReader
from datamanager.playback.alerts import AlertPages, AlertRuleDesk
from datamanager.playback.browse import Browser
from datamanager.playback.contents import Contents
from datamanager.playback.dead_letter_pages import DeadLetterPages
from datamanager.playback.derived import DerivedReader
from datamanager.playback.embeddings import EmbeddingCache
from datamanager.playback.enrichment_rules import EnrichmentRules
from datamanager.playback.events import EventHub, EventPages
from datamanager.playback.frame_tiers import FrameTierReader
from datamanager.playback.health import HealthChecks
from datamanager.playback.live import LiveHub
from datamanager.playback.log_tail import LogTail
from datamanager.playback.logs import LogReader
from datamanager.playback.members import MemberReader
from datamanager.playback.model_keeper import ModelKeeper
from datamanager.playback.model_registry import ModelRegistry
from datamanager.playback.moment import MomentReader
from datamanager.playback.near_duplicates import NearDuplicates
from datamanager.playback.newest import NewestReader
from datamanager.playback.overlays import OverlayReader
from datamanager.playback.page_cache import PageCache
from datamanager.playback.parameter_values import ParameterReader
from datamanager.playback.playlists import PlaylistReader
from datamanager.playback.ranges import RangeReader
from datamanager.playback.record_items import RecordItems
from datamanager.playback.record_pages import RecordPages
from datamanager.playback.result_pages import ResultPages
from datamanager.playback.retrainings import Retrainings
from datamanager.playback.row_pages import RowPages
from datamanager.playback.samples_port import SampleReader
from datamanager.playback.signing import UrlSigner
from datamanager.playback.similar import SimilarReader
from datamanager.playback.sounds import SoundReader
from datamanager.playback.tensors import TensorReader
from datamanager.playback.timeline import TimelineReader
from datamanager.playback.video_thumbnails import VideoThumbnailReader
from datamanager.storage.alert_rules import AlertRules
from datamanager.storage.alerts import Alerts
from datamanager.storage.analytics import Analyses
from datamanager.storage.dead_letter_queries import DeadLetterQueries
from datamanager.storage.derivations import Derivations
from datamanager.storage.derive_requests import DeriveRequests
from datamanager.storage.enrichments import Enrichments
from datamanager.storage.events import EventLog
from datamanager.storage.jobs import JobQueue
from datamanager.storage.latest import LatestSamples
from datamanager.storage.log_queries import LogQueries
from datamanager.storage.models import Models
from datamanager.storage.mongo import Mongo
from datamanager.storage.parameter_queries import ParameterQueries
from datamanager.storage.record_queries import RecordQueries
from datamanager.storage.redis import Redis
from datamanager.storage.result_queries import ResultQueries
from datamanager.storage.s3 import S3
from datamanager.storage.session_queries import SessionQueries
from datamanager.storage.session_totals import SessionTotals
from datamanager.storage.sessions import Streams
from datamanager.storage.thumbnails import Thumbnails
from datamanager.storage.tier_requests import TierRequests
from datamanager.storage.video_queries import VideoQueries

__all__ = ["PlaybackParts", "playback_parts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybackParts:
    """The parts. `live.run()` and `event_hub.run()` must run beside them.

    Each field bears the name by which the routes ask for it. No field of a body may bear it too: the framework would
    take a caller's mistake there for one of ours.
    """

    browser: Browser
    timelines: TimelineReader
    ranges: RangeReader
    aggregates: AggregateReader
    newest: NewestReader
    moments: MomentReader
    pages: RecordPages
    records: RecordQueries
    contents: Contents
    tensors: TensorReader
    members: MemberReader
    items: RecordItems
    row_pages: RowPages
    log_reader: LogReader
    log_tail: LogTail
    parameter_reader: ParameterReader
    tier_reader: FrameTierReader
    sounds: SoundReader
    playlists: PlaylistReader
    video_thumbnails: VideoThumbnailReader
    signer: UrlSigner
    letter_pages: DeadLetterPages
    letters: DeadLetterQueries
    result_pages: ResultPages
    similar_reader: SimilarReader
    near_duplicates: NearDuplicates
    overlay_reader: OverlayReader
    health: HealthChecks
    live: LiveHub
    model_registry: ModelRegistry
    model_keeper: ModelKeeper
    enrichment_rules: EnrichmentRules
    retrainings: Retrainings
    event_pages: EventPages
    event_hub: EventHub
    alert_pages: AlertPages
    alert_rules: AlertRuleDesk


def playback_parts(
    config: Config,
    *,
    mongo: Mongo,
    s3: S3,
    redis: Redis,
    clock: Clock,
    url_secret: bytes,
    examiner: Examiner,
    samples: SampleReader,
    ranges: RangeReader,
    aggregates: AggregateReader,
    tier_requests: TierRequests,
) -> PlaybackParts:
    """Makes the parts.

    Args:
        config: the settings.
        mongo: where the metadata are.
        s3: where the bytes are.
        redis: carries what is live.
        clock: tells the time.
        examiner: reads in content.
        url_secret: signs our own addresses; the same in every process.
        samples: reads few samples of `time_series` streams.
        ranges: reads many.
        aggregates: reads what they amount to.
        tier_requests: have missing tiers made.
    """
    page_limit = config.playback.page_limit
    sessions, totals = SessionQueries(mongo), SessionTotals(mongo)
    records, letters = RecordQueries(mongo), DeadLetterQueries(mongo)
    cache_ttl_s = min(
        config.playback.cache_ttl_s, config.serve.url_ttl_s // 4
    )  # what is in it stays good for as long again
    signer = UrlSigner(url_secret, config.serve.url_ttl_s, clock)
    contents = Contents(records, s3, examiner)
    items = RecordItems(s3, signer, config.serve.url_ttl_s)
    wait_s = config.playback.tier_wait_s
    derived = DerivedReader(
        records, DeriveRequests(JobQueue(redis, clock), Derivations(mongo, clock), clock), wait_s=wait_s
    )
    live = LiveHub(redis, clock, viewer_queue=config.playback.viewer_queue)
    event_log = EventLog(redis, clock, kept=config.events.kept)
    results = ResultQueries(mongo)
    embeddings = EmbeddingCache(
        results,
        clock,
        max_vectors=config.playback.similar_max_vectors,
        max_bytes=config.playback.similar_cache_bytes,
    )
    tier_reader = FrameTierReader(records, Thumbnails(mongo, clock), items, tier_requests, derived, wait_s=wait_s)
    log_reader = LogReader(sessions, LogQueries(mongo), contents, clock, page_limit=page_limit)
    url_ttl_s = config.serve.url_ttl_s
    models = Models(mongo, s3, redis, clock, max_bytes=config.inference.model_max_bytes, url_ttl_s=url_ttl_s)
    return PlaybackParts(
        browser=Browser(sessions, totals, page_limit=page_limit),
        ranges=ranges,
        aggregates=aggregates,
        newest=NewestReader(LatestSamples(redis)),
        timelines=TimelineReader(sessions, records, samples),
        moments=MomentReader(sessions, records, samples, items),
        pages=RecordPages(sessions, records, items, PageCache(redis, clock, ttl_s=cache_ttl_s), page_limit=page_limit),
        records=records,
        contents=contents,
        tensors=TensorReader(contents, page_limit=page_limit),
        members=MemberReader(contents, clock, page_limit=page_limit),
        items=items,
        row_pages=RowPages(contents, page_limit=page_limit),
        log_reader=log_reader,
        log_tail=LogTail(live, log_reader, contents, clock),
        parameter_reader=ParameterReader(sessions, ParameterQueries(mongo), contents),
        tier_reader=tier_reader,
        sounds=SoundReader(derived, items, s3),
        playlists=PlaylistReader(
            sessions, VideoQueries(mongo), s3, clock, url_ttl_s=config.serve.url_ttl_s, wait_s=wait_s
        ),
        video_thumbnails=VideoThumbnailReader(derived, Thumbnails(mongo, clock)),
        signer=signer,
        letter_pages=DeadLetterPages(letters, page_limit=page_limit),
        letters=letters,
        result_pages=ResultPages(sessions, results, records, items, page_limit=page_limit),
        similar_reader=SimilarReader(results, records, items, embeddings, page_limit=page_limit),
        near_duplicates=NearDuplicates(
            *(sessions, results, records, items, models),
            max_vectors=config.playback.similar_max_vectors,
            page_limit=page_limit,
        ),
        overlay_reader=OverlayReader(records, results, tier_reader, contents, s3),
        health=HealthChecks({"mongo": mongo.ping, "s3": s3.ping, "redis": redis.ping}, clock),
        live=live,
        model_registry=ModelRegistry(models, clock, url_ttl_s=url_ttl_s),
        model_keeper=ModelKeeper(models, ZOO, clock),
        enrichment_rules=EnrichmentRules(Enrichments(mongo, redis)),
        retrainings=Retrainings(
            Analyses(mongo, clock), Enrichments(mongo, redis), Streams(mongo), JobQueue(redis, clock)
        ),
        alert_pages=AlertPages(Alerts(mongo), page_limit=page_limit),
        alert_rules=AlertRuleDesk(AlertRules(mongo, clock)),
        event_pages=EventPages(event_log, page_limit=page_limit),
        event_hub=EventHub(event_log, clock, viewer_queue=config.playback.viewer_queue),
    )
