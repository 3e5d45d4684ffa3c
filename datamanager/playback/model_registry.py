"""Models for people: listed, added, switched, removed."""

import dataclasses
import re

import msgspec

from datamanager.clock import Clock
from datamanager.errors import NotFound, Refused
from datamanager.inference.manifest import Manifest, read_manifest
from datamanager.inference.manifest_check import check_manifest
from datamanager.kinds.names import check_id
from datamanager.playback.model_items import (
    ModelItem,
    ModelUpload,
    ModelWithVersions,
    NewModelVersion,
    model_item,
    model_with_versions,
)
from datamanager.playback.pages import Page
from datamanager.storage.model_documents import version_of
from datamanager.storage.models import Models, NewModel

__all__ = ["MAX_MANIFEST_BYTES", "ModelRegistry", "new_model"]

MAX_MANIFEST_BYTES = 128 * 1024
_TAKEN = frozenset({"current", "retrain"})
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class ModelRegistry:
    """Every method raises `Unavailable` when MongoDB or S3 does not answer.

    Args:
        models: where they are kept.
        clock: tells the time.
        url_ttl_s: how long an address to put a file to is good for.
    """

    def __init__(self, models: Models, clock: Clock, *, url_ttl_s: int) -> None:
        self._models = models
        self._clock = clock
        self._url_ttl_s = url_ttl_s

    async def all(self) -> Page[ModelItem]:
        """Every model of which a version is ready, by name."""
        now_ns = self._clock.now_ns()
        documents = [d for d in await self._models.documents() if any(v["state"] == "ready" for v in d["versions"])]
        return Page(items=[model_item(document, now_ns) for document in documents])

    async def one(self, name: str) -> ModelWithVersions:
        """One model.

        Raises:
            NotFound: there is none.
        """
        return model_with_versions(await self._models.document(name), self._clock.now_ns())

    async def add(self, name: str, asked: NewModelVersion) -> ModelUpload:
        """Begins to add a version.

        Raises:
            Refused: what is declared would not be taken; the detail names the field.
            Conflict: the version is there, and is another one.
        """
        manifest = asked.manifest
        check_id(name, "name")
        check_manifest(manifest)
        if manifest.name != name:
            raise Refused("bad_payload", f"manifest.name {manifest.name!r} is not the model's name, {name!r}")
        if manifest.version in _TAKEN:
            raise Refused("bad_id", f"manifest.version {manifest.version!r} means something else in addresses")
        if _SHA256.match(asked.sha256) is None:
            raise Refused("bad_payload", "sha256 must be 64 hexadecimal digits in small letters")
        if manifest.checksum not in ("", asked.sha256):
            raise Refused("bad_payload", f"manifest.checksum is {manifest.checksum}, sha256 is {asked.sha256}")
        new = new_model(manifest, asked.sha256, asked.size_bytes, use=asked.use)
        url = await self._models.begin(await self._as_known(new))
        return ModelUpload(
            name=name,
            version=manifest.version,
            status="ready" if url is None else "uploading",
            url=url,
            expires=None if url is None else self._clock.now_ns() / 1e9 + self._url_ttl_s,
        )

    async def complete(self, name: str, version: str) -> ModelWithVersions:
        """Checks the file that was put.

        Raises:
            NotFound: it was not begun.
            Refused: `bad_payload`: it is not the one that was declared, or no ONNX model.
            Conflict: it is not there, or somebody else has it checked.
        """
        await self._models.complete(name, version)
        return await self.one(name)

    async def use(self, name: str, version: str) -> ModelWithVersions:
        """Switches to a version.

        Raises:
            NotFound: there is no such version.
        """
        await self._models.use(name, version)
        return await self.one(name)

    async def remove(self, name: str, version: str | None = None) -> None:
        """Removes a version, or all of a model.

        Raises:
            NotFound: there is none.
            Conflict: it is needed.
        """
        await self._models.remove(name, version)

    async def _as_known(self, new: NewModel) -> NewModel:
        """With the manifest as it stands written where the same is there: how it is written may change from release to release."""
        try:
            entry = version_of(await self._models.document(new.name), new.version)
        except NotFound:
            return new
        if entry is not None and read_manifest(bytes(entry["manifest"])) == read_manifest(new.manifest):
            return dataclasses.replace(new, manifest=bytes(entry["manifest"]))
        return new


def new_model(
    manifest: Manifest, checksum: str, size_bytes: int, *, use: bool = True, bundled: bool = False
) -> NewModel:
    """What the registry keeps of a manifest and its file.

    Raises:
        Refused: `too_large`: the manifest is.
    """
    written = msgspec.json.encode(msgspec.structs.replace(manifest, checksum=checksum))
    if len(written) > MAX_MANIFEST_BYTES:
        raise Refused("too_large", f"the manifest has {len(written)} bytes, {MAX_MANIFEST_BYTES} are the most")
    return NewModel(
        name=manifest.name,
        version=manifest.version,
        task=manifest.task,
        output=manifest.stream,
        about=manifest.about,
        manifest=written,
        checksum=checksum,
        size_bytes=size_bytes,
        bundled=bundled,
        use=use,
    )
