"""What is asked and told of models."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from datamanager.inference.manifest import Manifest
from datamanager.storage.model_documents import current_of
from datamanager.storage.model_reports import fresh_reports
from datamanager.storage.mongo import Document

__all__ = [
    "ChosenVersion",
    "ModelItem",
    "ModelUpload",
    "ModelVersionItem",
    "ModelWithVersions",
    "NewModelVersion",
    "WorkerItem",
    "model_item",
    "model_with_versions",
]


class NewModelVersion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version of a model that is to be added.

    Attributes:
        manifest: what it is; its name is the model's.
        size_bytes: of the file, exactly.
        sha256: of the file, 64 hexadecimal digits in small letters.
        use: whether it becomes the version in use, at once.
    """

    manifest: Manifest
    size_bytes: Annotated[int, Meta(ge=1)]
    sha256: Annotated[str, Meta(min_length=64, max_length=64)]
    use: bool = True


class ChosenVersion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The version that is to be used."""

    version: str


class ModelUpload(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model's file goes.

    Attributes:
        status: `uploading`: it is to be PUT to `url`, then `…/complete` is to be asked; `ready`: this very file is there.
        url: null where it is there.
        expires: when the address ends, Unix seconds; ask again for a fresh one.
    """

    name: str
    version: str
    status: Literal["uploading", "ready"]
    url: str | None
    expires: float | None


class WorkerItem(msgspec.Struct, frozen=True, kw_only=True):
    """How a model stands in one worker; told until a minute after the worker last said so.

    Attributes:
        state: `loading`, `ready` or `failed`.
        providers: of ONNX Runtime, as they really loaded, the one in use first.
        breaker: `closed`, `open` or `half_open`; empty where there is none.
        error: what went wrong last; empty: nothing did.
        at: when it was said, Unix seconds.
    """

    worker: str
    version: str
    state: str
    providers: list[str]
    breaker: str
    error: str
    at: float


class ModelVersionItem(msgspec.Struct, frozen=True, kw_only=True):
    """One version.

    Attributes:
        state: `uploading` until its file was checked, `ready`, or `removing`.
        sha256: of the file, hexadecimal.
        bundled: whether it comes with datamanager.
        added: Unix seconds.
    """

    version: str
    state: str
    in_use: bool
    task: str
    about: str
    sha256: str
    size_bytes: int
    bundled: bool
    added: float
    manifest: dict[str, Any]


class ModelItem(msgspec.Struct, frozen=True, kw_only=True):
    """One model.

    Attributes:
        version: the one in use; null where none is, and so with the next four.
        output: last part of its result streams' names.
        sha256: of its file.
        bundled: whether this version comes with datamanager.
        providers: of ONNX Runtime, as they really loaded, of each worker that runs it.
        workers: how it stands in each of them.
    """

    name: str
    version: str | None
    task: str | None
    about: str
    output: str | None
    sha256: str | None
    size_bytes: int | None
    bundled: bool
    providers: dict[str, list[str]]
    workers: list[WorkerItem]


class ModelWithVersions(ModelItem, frozen=True, kw_only=True):
    """One model with all of its versions, in the order in which they were added."""

    versions: list[ModelVersionItem]


def model_item(document: Document, now_ns: int) -> ModelItem:
    """A model's document as it is told."""
    return ModelItem(**_fields(document, now_ns))


def model_with_versions(document: Document, now_ns: int) -> ModelWithVersions:
    """The same with its versions; the document has to have their manifests."""
    versions = [_version(entry, document["current"]) for entry in document["versions"]]
    return ModelWithVersions(**_fields(document, now_ns), versions=versions)


def _fields(document: Document, now_ns: int) -> dict[str, Any]:
    entry = current_of(document) or {}
    workers = [_worker(report) for report in fresh_reports(document, now_ns)]
    return {
        "name": document["_id"],
        "version": entry.get("version"),
        "task": entry.get("task"),
        "about": entry.get("about", ""),
        "output": entry.get("output"),
        "sha256": entry.get("checksum"),
        "size_bytes": entry.get("size_bytes"),
        "bundled": entry.get("bundled", False),
        "providers": {worker.worker: worker.providers for worker in workers},
        "workers": workers,
    }


def _worker(report: Document) -> WorkerItem:
    copied = {key: report[key] for key in ("worker", "version", "state", "breaker", "error")}
    return WorkerItem(**copied, providers=list(report["providers"]), at=report["at_ns"] / 1e9)


def _version(entry: Document, current: str | None) -> ModelVersionItem:
    copied = {key: entry[key] for key in ("version", "state", "task", "about", "size_bytes", "bundled")}
    return ModelVersionItem(
        **copied,
        in_use=entry["version"] == current,
        sha256=entry["checksum"],
        added=entry["added_ns"] / 1e9,
        manifest=msgspec.json.decode(entry["manifest"]),
    )
