"""All migrations in order give the declared schema, however often and from wherever they are run."""

import asyncio
import json
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.processes import DATAMANAGER, clean_environ

from datamanager.config import Config
from datamanager.errors import ConfigError
from datamanager.storage.migrations import apply_migrations, differences, find_migrations
from datamanager.storage.mongo import Mongo, open_mongo

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def mongo(config: Config) -> AsyncIterator[Mongo]:
    async with open_mongo(config.mongo) as found:
        yield found


async def test_all_migrations_in_order_give_the_declared_schema(mongo: Mongo) -> None:
    assert [m.number for m in await apply_migrations(mongo)] == [m.number for m in find_migrations()]
    assert await differences(mongo) == []
    assert await apply_migrations(mongo) == []
    assert await differences(mongo) == []


async def test_a_crash_within_a_migration_is_made_good_by_the_next_start(mongo: Mongo) -> None:
    await apply_migrations(mongo)
    await mongo.durable("migrations").delete_many({})  # every operation was done, and none was noted
    await mongo.database["records"].drop()
    await apply_migrations(mongo)
    assert await differences(mongo) == []


async def test_every_kind_of_difference_is_found(mongo: Mongo) -> None:
    await apply_migrations(mongo)
    database = mongo.database
    await database.drop_collection("segments")
    await database.create_collection("surprise")
    await database["streams"].create_index([("kind", 1)])
    await database["ledgers"].drop_index("robot_id_1_session_id_1_producer_1")
    await database["sessions"].drop_index("robot_id_1_session_id_1")
    await database["sessions"].create_index([("robot_id", 1), ("session_id", 1)])  # no longer unique
    await database.drop_collection("telemetry")
    await database.create_collection("telemetry")
    found = await differences(mongo)
    for part in (
        "collection segments is missing",
        "collection surprise is not declared",
        "streams: index kind_1 is not declared",
        "ledgers: index robot_id_1_session_id_1_producer_1 is missing",
        "sessions: index robot_id_1_session_id_1 is ",
        "telemetry: timeseries None, not ",
    ):
        assert any(line.startswith(part) for line in found), (part, found)


async def test_several_processes_may_migrate_at_once(config: Config, mongo: Mongo) -> None:
    def start() -> Any:
        environ = clean_environ(config)
        pipe = asyncio.subprocess.PIPE
        return asyncio.create_subprocess_exec(*DATAMANAGER, "migrate", "apply", env=environ, stdout=pipe, stderr=pipe)

    processes = await asyncio.gather(*(start() for _ in range(3)))
    for process in processes:
        _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()[-2000:]
    assert await differences(mongo) == []
    assert await mongo.durable("migrations").count_documents({}) == len(find_migrations())


def test_the_command_lists_applies_and_verifies(config: Config) -> None:
    def run(action: str) -> tuple[int, str]:
        done = subprocess.run(  # noqa: S603  # our own program
            [*DATAMANAGER, "migrate", action], env=clean_environ(config), capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout

    assert "not applied" in run("list")[1]
    assert run("verify")[0] == 1
    assert "applied 0001" in run("apply")[1]
    assert run("apply") == (0, "nothing to apply\n")
    assert run("verify") == (0, "the database is as declared\n")
    assert "not applied" not in run("list")[1]


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"0002_b.json": {}}, "without a gap"),
        ({"first.json": {}}, "not named"),
        ({"0001_a.json": {"operations": []}}, "cannot be read"),
        ({"0001_a.json": None}, "cannot be read"),
    ],
)
def test_a_folder_that_is_wrong_stops_the_start(tmp_path: Path, files: dict[str, Any], why: str) -> None:
    for name, content in files.items():
        whole = {"about": "", "operations": []} if content == {} else content
        (tmp_path / name).write_text("{" if whole is None else json.dumps(whole))
    with pytest.raises(ConfigError, match=why):
        find_migrations(tmp_path)


def test_the_wheel_brings_the_migrations_along(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)  # noqa: S603  # a tool of our own environment
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"datamanager/migrations/{path.name}" for path in (ROOT / "migrations").glob("*.json")} <= names
    assert "datamanager/app.py" in names
