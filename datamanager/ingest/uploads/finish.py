"""Completing uploads: one check at a time of each, wherever it was asked for, gone on with after any death.

Who completes an upload holds it by a lease that it renews. When a server dies in the midst of it, the lease runs out, and
the sweep of any server, or the next `complete`, begins the check again. Every step may be done twice.
"""

import asyncio
from uuid import uuid4

from datamanager.clock import Clock
from datamanager.config import IngestConfig, UploadsConfig
from datamanager.errors import Conflict, DatamanagerError, NotFound, Refused, Unavailable
from datamanager.ingest.uploads.plan import parse_checksum, producer_of
from datamanager.ingest.uploads.record import RecordMaker, letter_bytes
from datamanager.observability import get_logger
from datamanager.storage.dead_letters import DeadLetters
from datamanager.storage.mongo import Binary
from datamanager.storage.s3 import S3
from datamanager.storage.uploads import GIVEN_UP, UploadDocument, Uploads

__all__ = ["UploadFinisher"]

_log = get_logger(__name__)
_POLL_S = 0.25
_RETRY_S = 1.0
_LAST_STEPS_S = 1.0
_SWEEP_LIMIT = 100
_MAX_TRIES = 20  # by as many servers, each of which died of it, or of something else
_LATE_S = 60  # a PUT that began while its address was good may take longer than that


class UploadFinisher:
    """Completes uploads and removes what others left. Run `run` as a task."""

    def __init__(
        self,
        config: UploadsConfig,
        limits: IngestConfig,
        uploads: Uploads,
        maker: RecordMaker,
        letters: DeadLetters,
        s3: S3,
        clock: Clock,
    ) -> None:
        self._config = config
        self._limits = limits
        self._uploads = uploads
        self._maker = maker
        self._letters = letters
        self._s3 = s3
        self._clock = clock
        self._name = uuid4().hex
        self._slots = asyncio.Semaphore(config.concurrency)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._verified: dict[str, int] = {}

    # Completing.

    async def complete(self, upload_id: str, checksum: str | None) -> UploadDocument:
        """Has an upload completed, and waits for it, for up to the time that the settings say.

        Returns:
            The upload as it stands then.

        Raises:
            NotFound: there is none.
            Conflict: not all of it is in S3, or it was given up.
            Refused: `bad_payload`: the checksum is none.
            Unavailable: MongoDB or S3 does not answer.
        """
        wanted = None if checksum is None else parse_checksum(checksum)
        document = await self._get(upload_id)
        if document["state"] == "open":
            if wanted is not None and document["checksum"] not in (None, wanted):
                raise Conflict(f"the upload was begun with another checksum, {document['checksum']}")
            missing = await self._maker.missing(document)
            if missing is not None:
                raise Conflict(f"not all of it is in S3: {missing} missing")
            await self.take_on(upload_id, wanted)
        give_up_s = self._clock.monotonic_s() + self._config.wait_s
        while (document := await self._get(upload_id))["state"] == "completing":
            left_s = give_up_s - self._clock.monotonic_s()
            if left_s <= 0:
                return document | {"verified_bytes": self._verified.get(upload_id, document.get("verified_bytes", 0))}
            await self._wait(upload_id, left_s)
        if document["state"] in ("open", "aborted", "expired"):
            raise Conflict(f"the upload is {document['state']}, and not complete")
        return document

    async def _wait(self, upload_id: str, seconds: float) -> None:
        task = self._tasks.get(upload_id)
        if task is None:  # another server does it, or did
            await self.take_on(upload_id, None)
            await self._clock.sleep(min(seconds, _POLL_S))
        else:
            await asyncio.wait({task}, timeout=seconds)

    async def _get(self, upload_id: str) -> UploadDocument:
        document = await self._uploads.get(upload_id)
        if document is None:
            raise NotFound(f"there is no upload {upload_id!r}")
        return document

    async def take_on(self, upload_id: str, checksum: str | None) -> None:
        """Begins to complete an upload, when nobody does."""
        if upload_id in self._tasks:
            return
        now_ns = self._clock.now_ns()
        document = await self._uploads.take(
            upload_id, self._name, now_ns=now_ns, due_ns=self._lease_ns(), checksum=checksum
        )
        if document is not None and upload_id not in self._tasks:
            task = self._tasks[upload_id] = asyncio.create_task(self._hold(document), name=f"upload {upload_id}")
            task.add_done_callback(lambda _: self._forget(upload_id))

    def _forget(self, upload_id: str) -> None:
        self._tasks.pop(upload_id, None)
        self._verified.pop(upload_id, None)

    def _lease_ns(self) -> int:
        return self._clock.now_ns() + int(self._config.lease_s * 1e9)

    async def _hold(self, document: UploadDocument) -> None:
        """Completes an upload while the lease is renewed; however it ends, whoever waits reads that in the database."""
        work = asyncio.create_task(self._insist(document))
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=self._config.lease_s / 3)
                if not work.done() and not await self._renewed(document):
                    if (await asyncio.wait({work}, timeout=_LAST_STEPS_S))[0]:  # it had just ended
                        break
                    _log.warning("another server completes an upload by now", upload=document["_id"])
                    return
            work.result()
        except Exception:  # noqa: BLE001  # nobody awaits this task: what went wrong is told here, or nowhere
            _log.exception(
                "completing an upload failed; it is begun again when its lease is over", upload=document["_id"]
            )
        finally:
            work.cancel()
            await asyncio.wait({work})

    async def _renewed(self, document: UploadDocument) -> bool:
        verified = self._verified.get(document["_id"], 0)
        try:
            return await self._uploads.renew(
                document["_id"], self._name, due_ns=self._lease_ns(), verified_bytes=verified
            )
        except DatamanagerError as error:
            _log.warning("a lease is renewed later", upload=document["_id"], error=error.detail[:200])
            return True

    async def _insist(self, document: UploadDocument) -> None:
        """Completes an upload, again and again while a server behind us does not answer."""
        async with self._slots:
            while True:
                try:
                    await self._finish(document)
                except Refused as refused:
                    await self._refuse(document, refused)
                except Unavailable as error:
                    _log.warning("an upload is completed later", upload=document["_id"], error=error.detail[:200])
                    await self._clock.sleep(_RETRY_S)
                    continue
                return

    async def _finish(self, document: UploadDocument) -> None:
        upload_id = document["_id"]
        if document["tries"] > _MAX_TRIES:
            raise Refused("unsafe_content", f"{_MAX_TRIES} tries to look at it failed or ended the server")
        await self._maker.settle(document)

        def progress(verified: int) -> None:
            self._verified[upload_id] = verified

        checksum = await self._maker.checksum(document, progress)
        record_id = await self._maker.make(document, checksum)
        ended = await self._uploads.end(
            upload_id,
            "done",
            now_ns=self._clock.now_ns(),
            owner=self._name,
            record_id=record_id,
            checksum=checksum,
            verified_bytes=document["size_bytes"],
        )
        if ended is not None:
            await self._clean(ended)

    async def _refuse(self, document: UploadDocument, refused: Refused) -> None:
        """Keeps what was refused as a dead letter, tells why, and removes it from S3."""
        while True:
            try:
                await self._letters.insert([await self._letter(document, refused)])
                ended = await self._uploads.end(
                    document["_id"],
                    "refused",
                    now_ns=self._clock.now_ns(),
                    owner=self._name,
                    code=refused.code,
                    detail=refused.detail[:1000],
                )
                if ended is not None:
                    await self._clean(ended)
            except Unavailable as error:
                _log.warning("a refusal is kept later", upload=document["_id"], error=error.detail[:200])
                await self._clock.sleep(_RETRY_S)
                continue
            return

    async def _letter(self, document: UploadDocument, refused: Refused) -> UploadDocument:
        size = await self._s3.size(document["key"])
        most = min(self._limits.dead_letter_bytes, size or 0)
        raw = letter_bytes(document, await self._s3.read(document["key"], 0, most) if most else b"")
        return {
            "_id": document["letter_id"],  # so that there is one, though a server dies after writing it
            "robot_id": document["robot_id"],
            "session_id": document["session_id"],
            "producer": producer_of(document["_id"]),
            "stream": document["stream"],
            "seq": 0,
            "prev": None,
            "covers": False,
            "code": refused.code,
            "detail": refused.detail[:1000],
            "data": Binary(raw[: self._limits.dead_letter_bytes]),
            "size_bytes": document["size_bytes"],
            "truncated": len(raw) > self._limits.dead_letter_bytes or document["size_bytes"] > most,
        }

    # What others left.

    async def run(self) -> None:
        """Sweeps until cancelled; then what is being completed is left to whoever comes next."""
        try:
            while True:
                await self._clock.sleep(self._config.sweep_s)
                try:
                    await self.sweep()
                except DatamanagerError as error:
                    _log.warning("uploads are looked through later", error=error.detail[:200])
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def sweep(self) -> None:
        """One round: completes what a dead server left, gives up what was abandoned, removes what that left in S3.

        Raises:
            Unavailable: MongoDB or S3 does not answer.
        """
        now_ns = self._clock.now_ns()
        async for document in self._uploads.due(now_ns, _SWEEP_LIMIT):
            if document["state"] == "completing":
                await self.take_on(document["_id"], None)
            elif document["state"] == "open":
                ended = await self._uploads.end(document["_id"], "expired", now_ns=now_ns)
                if ended is not None:
                    _log.info("gave up an abandoned upload", upload=document["_id"])
                    await self._clean(ended)
            else:
                await self._clean(document)

    async def clean(self, upload_id: str) -> None:
        """Removes what an upload that was given up left in S3; one that is not there is no error.

        Raises:
            Unavailable: MongoDB or S3 does not answer; the sweep does it later.
        """
        document = await self._uploads.get(upload_id)
        if document is not None and document["state"] in GIVEN_UP:
            await self._clean(document)

    async def _clean(self, document: UploadDocument) -> None:
        stale = [document["staging"]] if document["part_size"] is None else []
        if document["state"] in GIVEN_UP:
            if document["s3_upload_id"] is not None:
                await self._s3.multipart.abort(document["key"], document["s3_upload_id"])
            stale.append(document["key"])
        elif document["kind"] == "time_series":  # its samples are blocks by now
            stale.append(document["key"])
        await self._s3.delete(stale)
        # As long as an address is good, whoever has it may put the object once more.
        again_ns = document["urls_until_ns"] + _LATE_S * 10**9
        due = document["part_size"] is None and again_ns > self._clock.now_ns()
        await self._uploads.cleaned(document, again_ns=again_ns if due else None)
