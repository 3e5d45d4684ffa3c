"""Migrations: numbered JSON files in the folder `migrations/`, each a list of operations, applied once and in order.

A file is `NNNN_name.json`: `{"about": "...", "operations": [...]}`, an operation one of
`{"create_collection": name, "timeseries"?: {...}}`, `{"drop_collection": name}`,
`{"create_index": collection, "fields": [[name, direction], ...], "options"?: {...}}`,
`{"drop_index": collection, "name": name}`. Each may be run again: a crash in the middle is made good by the next start.
"""

import re
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from datamanager.errors import ConfigError
from datamanager.storage.mongo import CollectionInvalid, DuplicateKey, Mongo, OperationFailure, translated
from datamanager.storage.schema import SCHEMA, CollectionSchema

__all__ = ["Migration", "apply_migrations", "differences", "find_migrations"]

_EXISTS = frozenset({48})  # NamespaceExists
_IS_MISSING = frozenset({26, 27})  # NamespaceNotFound, IndexNotFound
_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.json\Z")


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration file."""

    number: int
    name: str
    about: str
    operations: tuple[dict[str, Any], ...]


def find_migrations(folder: Path | None = None) -> list[Migration]:
    """The migrations in order.

    Raises:
        ConfigError: the folder is missing, a file cannot be read, or a number is missing or doubled.
    """
    folder = folder or _default_folder()
    found = []
    for path in sorted(folder.glob("*.json")):
        match = _FILE.match(path.name)
        if match is None:
            raise ConfigError(f"migration {path.name} is not named NNNN_name.json")
        try:
            content = msgspec.json.decode(path.read_bytes())
            found.append(Migration(int(match[1]), match[2], content["about"], tuple(content["operations"])))
        except (msgspec.DecodeError, KeyError, TypeError) as exc:
            raise ConfigError(f"migration {path.name} cannot be read: {exc!r}") from exc
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise ConfigError(f"migrations must be numbered 0001, 0002, ... without a gap: {[m.number for m in found]}")
    return found


def _default_folder() -> Path:
    package = Path(__file__).parent.parent
    for folder in (package / "migrations", package.parent / "migrations"):
        if folder.is_dir():
            return folder
    raise ConfigError("the folder migrations/ is missing from this installation")


async def applied_numbers(mongo: Mongo) -> dict[int, int]:
    """Number to Unix nanoseconds of every migration that was applied."""
    with translated():
        return {d["_id"]: d["applied_ns"] async for d in mongo.durable("migrations").find()}


async def apply_migrations(mongo: Mongo, migrations: list[Migration] | None = None) -> list[Migration]:
    """Applies what is not applied yet, in order; safe to run from many processes at once.

    Returns:
        The migrations that this call applied.

    Raises:
        MongoUnavailable: MongoDB does not answer.
    """
    migrations = find_migrations() if migrations is None else migrations
    done = await applied_numbers(mongo)
    fresh = [m for m in migrations if m.number not in done]
    for migration in fresh:
        for operation in migration.operations:
            await _run(mongo, operation)
        try:
            with translated():
                await mongo.durable("migrations").insert_one(
                    {"_id": migration.number, "name": migration.name, "applied_ns": time.time_ns()}
                )
        except DuplicateKey:
            continue  # another process was faster, with the same operations
    return fresh


async def _run(mongo: Mongo, operation: dict[str, Any]) -> None:
    database = mongo.database
    with translated():
        match operation:
            case {"create_collection": name}:
                options = {"timeseries": operation["timeseries"]} if "timeseries" in operation else {}
                await _unless(_EXISTS, database.create_collection(name, **options))
            case {"drop_collection": name}:
                await database.drop_collection(name)
            case {"create_index": name, "fields": fields}:
                await database[name].create_index([tuple(f) for f in fields], **operation.get("options", {}))
            case {"drop_index": collection, "name": name}:
                await _unless(_IS_MISSING, database[collection].drop_index(name))
            case _:
                raise ConfigError(f"unknown migration operation {operation}")


async def _unless(codes: frozenset[int], call: Awaitable[object]) -> None:
    """Awaits a call; that it was done before, by us or another process, is no error."""
    try:
        await call
    except CollectionInvalid:  # the driver's own look before it asks
        return
    except OperationFailure as exc:
        if exc.code not in codes:
            raise


async def differences(mongo: Mongo, declared: tuple[CollectionSchema, ...] = SCHEMA) -> list[str]:
    """What the database has that is not declared, or lacks that is; empty when both are the same."""
    found: list[str] = []
    with translated():
        infos = {info["name"]: dict(info) async for info in await mongo.database.list_collections()}
    present = {name for name in infos if not name.startswith("system.")}
    found += [f"collection {name} is missing" for name in sorted({c.name for c in declared} - present)]
    found += [f"collection {name} is not declared" for name in sorted(present - {c.name for c in declared})]
    for collection in declared:
        if collection.name in present:
            found += await _collection_differences(mongo, collection, infos[collection.name])
    return found


async def _collection_differences(mongo: Mongo, declared: CollectionSchema, info: dict[str, Any]) -> list[str]:
    series = info["options"].get("timeseries")
    actual = {key: series[key] for key in ("timeField", "metaField", "granularity")} if series else None
    found = (
        [] if actual == declared.timeseries else [f"{declared.name}: timeseries {actual}, not {declared.timeseries}"]
    )
    with translated():
        indexes = await mongo.database[declared.name].index_information()
    indexes.pop("_id_", None)
    wanted = {index.name: index for index in declared.indexes}
    found += [f"{declared.name}: index {name} is missing" for name in sorted(wanted.keys() - indexes.keys())]
    found += [f"{declared.name}: index {name} is not declared" for name in sorted(indexes.keys() - wanted.keys())]
    for name in wanted.keys() & indexes.keys():
        options = {k: v for k, v in indexes[name].items() if k not in ("v", "key", "ns", "background")}
        if [tuple(f) for f in indexes[name]["key"]] != list(wanted[name].fields) or options != wanted[name].options:
            found.append(f"{declared.name}: index {name} is {indexes[name]}, not {wanted[name]}")
    return found
