"""What may become of a model's document, without the reading and writing of it."""

from collections.abc import Callable
from typing import Any

from datamanager.errors import Conflict, NotFound, Refused
from datamanager.storage.model_documents import NewModel, version_of
from datamanager.storage.mongo import Document

__all__ = [
    "Change",
    "is_known",
    "marks",
    "no_version",
    "put_entry",
    "refuse_if_busy",
    "refuse_other_task",
    "refuse_removal",
    "revives",
]

MAX_VERSIONS = 100
Change = Callable[[Document], None]


def no_version(name: str, version: str) -> NotFound:
    """The error of a version that is not there."""
    return NotFound(f"the model {name[:140]} has no version {version[:140]!r} that is ready")


def is_known(new: NewModel, entry: Document, now_ns: int) -> bool:
    """Whether the version is there already, as it is to be.

    Raises:
        Conflict: it is there otherwise, or cannot be changed now.
    """
    what = f"the model {new.name} {new.version}"
    refuse_if_busy(new.name, entry, now_ns)
    if entry["state"] == "uploading":
        return False
    if entry["checksum"] != new.checksum:
        raise Conflict(f"{what} is there with another file, of checksum {entry['checksum']}: choose another version")
    if bytes(entry["manifest"]) != new.manifest:
        raise Conflict(f"{what} is there with another manifest: choose another version")
    return True


def refuse_if_busy(name: str, entry: Document, now_ns: int, *, gone: bool = False) -> None:
    """Refuses to touch a version that is being removed, or whose file is being checked.

    Args:
        name: of the model.
        entry: of the version.
        now_ns: the time.
        gone: whether one that is being removed is just what is wanted.

    Raises:
        Conflict: it passes by itself.
    """
    what = f"the model {name} {entry['version']}"
    if entry["state"] == "removing" and not gone:
        raise Conflict(f"{what} is being removed: try again")
    if entry["state"] == "uploading" and entry.get("check_until_ns", 0) > now_ns:
        raise Conflict(f"{what} is being looked at: try again")


def refuse_other_task(document: Document, task: str) -> None:
    """All versions of a model are of one task, so that what rules are made for, and their result streams, stay what they are.

    Raises:
        Conflict: those that are ready are of another one.
    """
    for entry in document["versions"]:
        if entry["state"] == "ready" and entry["task"] != task:
            raise Conflict(
                f"the model {document['_id']} is of task {entry['task']}: one of task {task} needs another name"
            )


def put_entry(document: Document, entry: Document) -> None:
    """Puts a version's entry in place of what there was of it.

    Raises:
        Conflict: it is of another task than the versions that are ready.
        Refused: `over_quota`.
    """
    refuse_other_task(document, entry["task"])
    others = [each for each in document["versions"] if each["version"] != entry["version"]]
    if len(others) >= MAX_VERSIONS:
        raise Refused("over_quota", f"the model {document['_id']} has {MAX_VERSIONS} versions, which is the most")
    document["versions"] = [*others, entry]


def refuse_removal(document: Document, rules: list[str], *, everything: bool) -> None:
    """Of a model, or of the version of it that is in use.

    Raises:
        Conflict: it is needed, or would come again.
    """
    name = document["_id"]
    if rules:
        raise Conflict(f"the enrichment {rules[0]!r} names the model {name}: remove it first")
    going = [entry for entry in document["versions"] if everything or entry["version"] == document["current"]]
    if any(entry["bundled"] for entry in going):
        raise Conflict(f"the model {name} comes with datamanager, and would be there again after the next start")
    ready = [entry["version"] for entry in document["versions"] if entry["state"] == "ready"]
    if not everything and len(ready) > 1:
        raise Conflict(f"the version {document['current']} of {name} is in use: use another one first")


def marks(entry: Document, **fields: Any) -> Change:
    """A change of one version's entry, unless it is another by now; None takes a field away."""

    def change(document: Document) -> None:
        found = version_of(document, entry["version"])
        if found is not None and (found["state"], found["checksum"]) == (entry["state"], entry["checksum"]):
            found |= fields
            for name in [name for name, value in fields.items() if value is None]:
                del found[name]

    return change


def revives(before: Document) -> Change:
    """Takes back that versions are to go."""
    states = {entry["version"]: entry["state"] for entry in before["versions"]}

    def change(document: Document) -> None:
        document["current"] = before["current"]
        for entry in document["versions"]:
            if entry["state"] == "removing":
                entry["state"] = states.get(entry["version"], "removing")

    return change
