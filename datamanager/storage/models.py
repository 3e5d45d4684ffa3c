"""The registry of models: their files in S3, and in MongoDB which versions there are and which one is in use.

A version never changes once it is ready. Its file is put to an address of its own and copied from there, so that an
address that was given away leads to nothing that is in use.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from datamanager.clock import Clock
from datamanager.errors import Conflict, NotFound, Refused, Unavailable
from datamanager.observability import get_logger
from datamanager.storage.enrichments import Enrichments
from datamanager.storage.keys import manifest_key, model_key, model_upload_key
from datamanager.storage.model_changes import (
    is_known,
    marks,
    no_version,
    put_entry,
    refuse_if_busy,
    refuse_other_task,
    refuse_removal,
    revives,
)
from datamanager.storage.model_documents import NewModel, StoredModel, current_of, entry_of, version_of
from datamanager.storage.model_files import check_model, check_size, fetch_model
from datamanager.storage.model_reports import ModelReport, ModelReports
from datamanager.storage.model_store import ModelStore
from datamanager.storage.mongo import Document, Mongo
from datamanager.storage.redis import Redis
from datamanager.storage.s3 import S3

__all__ = ["ModelReport", "Models", "NewModel", "StoredModel"]

_ABANDONED_S = 86400
_LATE_S = 60  # a PUT that began while its address was good may take longer than that
_CHECK_S = 60.0
_CHECK_BYTES_PER_S = 5e6  # a slow S3: a check that takes longer has died
_CACHE_BYTES = 8 << 30

_log = get_logger(__name__)


class Models(ModelStore):
    """The models. Every method raises `MongoUnavailable` or `S3Unavailable` when the one that it needs does not answer.

    Args:
        mongo, s3, redis: where they are, and what tells others of changes.
        clock: tells the time.
        max_bytes: the largest model.
        url_ttl_s: how long an address to put one to is good for.
    """

    def __init__(
        self,
        mongo: Mongo,
        s3: S3,
        redis: Redis,
        clock: Clock,
        *,
        max_bytes: int = 2 << 30,
        url_ttl_s: int = 3600,
    ) -> None:
        super().__init__(mongo, redis, clock)
        self._reports = ModelReports(mongo, clock)
        self._rules = Enrichments(mongo, redis)
        self._s3 = s3
        self._max_bytes = max_bytes
        self._url_ttl_s = url_ttl_s
        self._checking = asyncio.Semaphore(1)  # what a check holds of a model, one at a time

    async def fetch(self, stored: StoredModel, folder: Path, *, max_bytes: int = _CACHE_BYTES) -> Path:
        """A model's file in a local folder, checked; `fetch_model` says more."""
        return await fetch_model(self._s3, stored, folder, max_bytes=max_bytes)

    async def report(self, worker: str, reports: Sequence[ModelReport]) -> None:
        """Keeps what a worker says of the models that it runs, until a minute after it last said so."""
        await self._reports.write(worker, reports)

    async def begin(self, new: NewModel) -> str | None:
        """Begins to add a version.

        Returns:
            Where the file is to be PUT; None when this very version is there already, and is now in use if so wished.

        Raises:
            Refused: `too_large`, `over_quota`.
            Conflict: the version is there with another file or manifest or is being removed, or others are of another task.
        """
        if new.size_bytes > self._max_bytes:
            raise Refused("too_large", f"the model has {new.size_bytes} bytes, {self._max_bytes} are the most")
        now_ns = self._clock.now_ns()
        until_ns = now_ns + self._url_ttl_s * 10**9
        stale: list[str] = []

        def change(document: Document) -> None:
            stale.clear()
            entry = version_of(document, new.version)
            if entry is not None and is_known(new, entry, now_ns):
                document["current"] = new.version if new.use else document["current"]
                return
            if entry is not None and entry["checksum"] != new.checksum:
                stale.append(model_upload_key(new.name, new.version, entry["checksum"]))
            put_entry(document, entry_of(new, "uploading", now_ns, upload_until_ns=until_ns))

        document = await self.change(new.name, change, make=True)
        await self._s3.delete(stale)
        entry = version_of(document, new.version)
        if entry is not None and entry["state"] == "ready":
            return None
        return self._s3.sign_put(model_upload_key(new.name, new.version, new.checksum), self._url_ttl_s)

    async def complete(self, name: str, version: str) -> None:
        """Checks the file that was put, and makes the version ready; done again, it is known.

        Raises:
            NotFound: it was not begun.
            Refused: `bad_payload`: it is not the file that was declared, or no ONNX model; it may be put again.
            Conflict: the file is not there, or somebody else has it checked.
        """
        entry = await self._take(name, version)
        if entry["state"] == "ready":
            return
        upload = model_upload_key(name, version, entry["checksum"])
        try:
            async with self._checking:
                await self._bring(name, version, entry, upload)
            await self._make_ready(name, version, entry["checksum"])
        except BaseException:
            await self._give_back(name, version)
            raise
        await self._s3.delete([upload])
        _log.info("a model was added", model=name, version=version, size_bytes=entry["size_bytes"])

    async def use(self, name: str, version: str) -> None:
        """Makes a version the current one.

        Raises:
            NotFound: there is no such version that is ready.
        """

        def change(document: Document) -> None:
            entry = version_of(document, version)
            if entry is None or entry["state"] != "ready":
                raise no_version(name, version)
            document["current"] = version

        await self.change(name, change)
        _log.info("a model's version is in use", model=name, version=version)

    async def remove(self, name: str, version: str | None = None) -> None:
        """Removes a version, or a model with all of its versions.

        Raises:
            NotFound: there is none.
            Conflict: an enabled rule names it, it comes with datamanager, or other versions could be used instead.
        """
        rules = await self._rules.naming(name)
        before = await self.document(name)

        def change(document: Document) -> None:
            going = [entry for entry in document["versions"] if version in (None, entry["version"])]
            if not going:
                raise no_version(name, version or "")
            if document["current"] is not None and (version is None or version == document["current"]):
                refuse_removal(document, rules, everything=version is None)
                document["current"] = None
            for entry in going:
                refuse_if_busy(name, entry, self._clock.now_ns(), gone=True)
                entry["state"] = "removing"

        document = await self.change(name, change)
        if document["current"] is None and before["current"] is not None and await self._rules.naming(name):
            await self.change(name, revives(before))
            raise Conflict(f"an enrichment that names {name} was put just now: remove it first")
        await self._clear(name)

    async def seed(self, new: NewModel, data: bytes) -> bool:
        """Adds a version that comes with datamanager, unless it is there; from as many processes at once as there are.

        It becomes current where none is, or where an older one is that came with datamanager too.

        Returns:
            Whether it was not there.

        Raises:
            Conflict: somebody's own model of another task has its name.
        """
        if not await self._is_free(new):
            return False
        await self._s3.put(model_key(new.name, new.version), data)
        await self._s3.put(manifest_key(new.name, new.version), new.manifest, content_type="application/json")
        added = False

        def change(document: Document) -> None:
            nonlocal added
            added = version_of(document, new.version) is None
            if added:
                refuse_other_task(document, new.task)
                old = current_of(document)
                document["versions"].append(entry_of(new, "ready", self._clock.now_ns()))
                if old is None or old["bundled"]:
                    document["current"] = new.version

        await self.change(new.name, change, make=True)
        return added

    async def _is_free(self, new: NewModel) -> bool:
        """Whether a version that comes with datamanager is not there, nor anything that it cannot stand beside."""
        try:
            document = await self.document(new.name)
        except NotFound:
            return True
        entry = version_of(document, new.version)
        if entry is None:
            refuse_other_task(document, new.task)
            return True
        if entry["checksum"] != new.checksum:
            _log.warning("a model of another file stands in place of ours", model=new.name, version=new.version)
        return False

    async def sweep(self) -> None:
        """Removes what was begun and abandoned, and what a removal left that did not come to its end."""
        now_ns = self._clock.now_ns()
        for document in await self.documents():
            name = document["_id"]
            for entry in document["versions"]:
                age_s = (now_ns - entry.get("upload_until_ns", now_ns)) / 1e9
                if entry["state"] == "uploading" and age_s > _ABANDONED_S:
                    await self.change(name, marks(entry, state="removing"))
                elif entry["state"] == "ready" and age_s > _LATE_S:
                    await self._s3.delete([model_upload_key(name, entry["version"], entry["checksum"])])
                    await self.change(name, marks(entry, upload_until_ns=None))
            await self._clear(name)

    async def _take(self, name: str, version: str) -> Document:
        """Makes this call the one that checks a version's file, unless that is ready.

        Raises:
            Conflict: another does.
        """
        now_ns = self._clock.now_ns()
        taken: Document = {}

        def change(document: Document) -> None:
            entry = version_of(document, version)
            if entry is None:
                raise no_version(name, version)
            refuse_if_busy(name, entry, now_ns)
            if entry["state"] == "uploading":
                entry["check_until_ns"] = now_ns + int((_CHECK_S + entry["size_bytes"] / _CHECK_BYTES_PER_S) * 1e9)
            taken.update(entry)

        await self.change(name, change)
        return taken

    async def _give_back(self, name: str, version: str) -> None:
        def change(document: Document) -> None:
            entry = version_of(document, version)
            if entry is not None:
                entry.pop("check_until_ns", None)

        try:
            await self.change(name, change)
        except (NotFound, Unavailable) as error:
            _log.info("a model's check ends with its lease", model=name, version=version, error=error.detail[:200])

    async def _bring(self, name: str, version: str, entry: Document, upload: str) -> None:
        """Copies the file to where it stays, and checks it there."""
        key, size_bytes = model_key(name, version), entry["size_bytes"]
        try:
            await check_size(self._s3, upload, size_bytes)  # before as much as that is copied
            await self._s3.copy(upload, key)
            await check_model(self._s3, key, size_bytes=size_bytes, checksum=entry["checksum"])
        except NotFound as exc:
            raise Conflict(f"the model {name} {version} is not in S3: PUT it first") from exc
        except Refused:
            await self._s3.delete([upload, key])
            raise
        await self._s3.put(manifest_key(name, version), bytes(entry["manifest"]), content_type="application/json")

    async def _make_ready(self, name: str, version: str, checksum: str) -> None:
        def change(document: Document) -> None:
            entry = version_of(document, version)
            if entry is None or entry["checksum"] != checksum or entry["state"] == "removing":
                raise Conflict(f"the model {name} {version} was removed or begun anew meanwhile")
            refuse_other_task(document, entry["task"])
            entry["state"] = "ready"
            entry.pop("check_until_ns", None)
            if entry["use"]:
                document["current"] = version

        await self.change(name, change)

    async def _clear(self, name: str) -> None:
        """Removes from S3, and then from MongoDB, the versions that are to go."""
        try:
            document = await self.document(name)
        except NotFound:
            return
        going = [entry for entry in document["versions"] if entry["state"] == "removing"]
        if not going:
            return
        for entry in going:
            version = entry["version"]
            upload = model_upload_key(name, version, entry["checksum"])
            await self._s3.delete([model_key(name, version), manifest_key(name, version), upload])

        def change(document: Document) -> None:
            gone = {entry["version"] for entry in going}
            document["versions"] = [
                e for e in document["versions"] if e["version"] not in gone or e["state"] != "removing"
            ]

        try:
            await self.change(name, change)
        except NotFound:  # another process cleared it in the same moment
            return
