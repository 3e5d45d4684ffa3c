"""The documents of the collection `models`, and what is read from them.

{_id: name, current: version | None, revision, versions: [{version, state: uploading | ready | removing, task, output,
about, checksum (SHA-256, hex), size_bytes, manifest (JSON), bundled, added_ns}], loaded: [{worker, version, providers,
state, error, breaker, at_ns}]}. `revision` changes with every change but those of `loaded`.
"""

from datamanager.storage.enrichment_rule import ModelFacts
from datamanager.storage.mongo import Document

__all__ = ["current_of", "facts_of", "version_of"]


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
