"""The documents of the collection `models`, and what is read from them.

{_id: name, current: version | None, revision, versions: [{version, state: uploading | ready | removing, task, output,
about, checksum (SHA-256, hex), size_bytes, manifest (JSON), bundled, use, added_ns, upload_until_ns?, check_until_ns?}],
loaded: [{worker, version, providers, state, error, breaker, at_ns}]}. `revision` grows with every change but those of
`loaded`.
"""

from dataclasses import dataclass
from typing import Any, Literal

from datamanager.storage.enrichment_rule import ModelFacts
from datamanager.storage.mongo import Binary, Document

__all__ = [
    "ModelState",
    "NewModel",
    "StoredModel",
    "current_of",
    "entry_of",
    "facts_of",
    "stored_of",
    "version_of",
]

ModelState = Literal["uploading", "ready", "removing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewModel:
    """A version of a model that is to be kept.

    Attributes:
        output: last part of its result streams' names.
        manifest: as JSON, with this name, version and checksum.
        checksum: SHA-256 of the model file, hexadecimal.
        bundled: whether it comes with datamanager.
        use: whether it becomes the current version.
    """

    name: str
    version: str
    task: str
    output: str
    about: str
    manifest: bytes
    checksum: str
    size_bytes: int
    bundled: bool = False
    use: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModel:
    """A version of a model that is ready.

    Attributes:
        manifest: as JSON.
        checksum: SHA-256 of the model file, hexadecimal.
    """

    name: str
    version: str
    task: str
    output: str
    manifest: bytes
    checksum: str
    size_bytes: int
    bundled: bool


def entry_of(new: NewModel, state: ModelState, now_ns: int, **more: Any) -> Document:
    """The entry of a new version."""
    return {
        "version": new.version,
        "state": state,
        "task": new.task,
        "output": new.output,
        "about": new.about,
        "checksum": new.checksum,
        "size_bytes": new.size_bytes,
        "manifest": Binary(new.manifest),
        "bundled": new.bundled,
        "use": new.use,
        "added_ns": now_ns,
    } | more


def stored_of(name: str, entry: Document) -> StoredModel:
    """A version as workers take it."""
    copied = {key: entry[key] for key in ("version", "task", "output", "checksum", "size_bytes", "bundled")}
    return StoredModel(name=name, manifest=bytes(entry["manifest"]), **copied)


def version_of(document: Document | None, version: str | None) -> Document | None:
    """One version's entry; None when there is none."""
    if document is None or version is None:
        return None
    return next((entry for entry in document["versions"] if entry["version"] == version), None)


def current_of(document: Document) -> Document | None:
    """The entry of the version in use; None when none is."""
    return version_of(document, document["current"])


def facts_of(document: Document) -> ModelFacts:
    """What rules have to know of a model."""
    entry = current_of(document)
    if entry is None:
        return ModelFacts(document["_id"], None, "")
    return ModelFacts(document["_id"], entry["task"], entry["output"])
