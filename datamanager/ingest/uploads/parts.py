"""The parts of uploading, put together from what the application opened."""

from dataclasses import dataclass

from datamanager.clock import Clock
from datamanager.config import Config
from datamanager.ingest.service import Ingest
from datamanager.ingest.uploads.desk import UploadDesk
from datamanager.ingest.uploads.finish import UploadFinisher
from datamanager.ingest.uploads.record import RecordMaker
from datamanager.kinds.examiner import Examiner
from datamanager.storage.dead_letters import DeadLetters
from datamanager.storage.mongo import Mongo
from datamanager.storage.records import RecordWrites
from datamanager.storage.s3 import S3
from datamanager.storage.sessions import Streams
from datamanager.storage.uploads import Uploads

__all__ = ["UploadParts", "upload_parts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadParts:
    """The parts, each by the name by which the routes ask for it. `upload_finisher.run()` must run beside them."""

    upload_desk: UploadDesk
    upload_finisher: UploadFinisher


def upload_parts(
    config: Config,
    *,
    mongo: Mongo,
    s3: S3,
    clock: Clock,
    ingest: Ingest,
    examiner: Examiner,
    letters: DeadLetters,
    streams: Streams,
) -> UploadParts:
    """Makes the parts: what is uploaded becomes records by way of `ingest`."""
    uploads = Uploads(mongo, keep_s=config.uploads.keep_s)
    maker = RecordMaker(ingest, examiner, s3)
    return UploadParts(
        upload_desk=UploadDesk(
            config.uploads, config.ingest, config.serve.url_ttl_s, uploads, streams, RecordWrites(mongo), s3, clock
        ),
        upload_finisher=UploadFinisher(config.uploads, config.ingest, uploads, maker, letters, s3, clock),
    )
