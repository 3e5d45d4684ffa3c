"""The import contracts hold (`make imports` runs them); here: that each of them can fail."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"

BREACHES = {  # where a line is added, the line, and what the broken contract is called
    "a lower layer imports a higher one": (
        "kinds/breach.py",
        "import datamanager.storage.keys",
        "Imports point down, and every part has its place",
    ),
    "two parts of one layer know each other": (
        "playback/breach.py",
        "import datamanager.ingest",
        "Imports point down, and every part has its place",
    ),
    "a part stands in no layer": ("breach.py", "", "Imports point down, and every part has its place"),
    "storage knows the local servers": (
        "storage/breach.py",
        "import datamanager.local",
        "The server imports nothing of what stands beside it",
    ),
    "the worker uses the robot's client": (
        "worker/breach.py",
        "import datamanager.client",
        "Only pull, push and the simulator import the client",
    ),
    "the client drags in a server library": (
        "client/breach.py",
        "import structlog",
        "The client imports kinds and errors alone, and no library that only the server has",
    ),
    "the simulator reads the database": (
        "simulator/breach.py",
        "import datamanager.storage.keys",
        "The simulator, pull and push import the client, kinds and errors alone",
    ),
    "a command reads a model itself": (
        "admin/breach.py",
        "import datamanager.inference.manifest",
        "The commands of those who run a server import errors alone",
    ),
    "the local servers know the server": (
        "local/breach.py",
        "import datamanager.worker",
        "The local servers import config, errors, clock and observability alone",
    ),
    "river outside of online analytics": (
        "worker/breach.py",
        "import river",
        "River stays in online analytics",
    ),
    "a driver of MongoDB outside its adapter": (
        "playback/breach.py",
        "def late() -> None:\n    import pymongo",
        "MongoDB's driver stays in its adapter",
    ),
    "BSON outside storage": ("ingest/breach.py", "import bson", "BSON stays in storage"),
    "a driver of S3 outside its adapter": (
        "storage/breach.py",
        "from obstore.store import S3Store",
        "S3's drivers stay in their adapter",
    ),
    "a driver of Redis outside its adapter": (
        "worker/breach.py",
        "import redis.asyncio",
        "Redis' driver stays in its adapter",
    ),
    "ONNX Runtime outside inference": (
        "worker/breach.py",
        "import onnxruntime",
        "ONNX Runtime stays in inference",
    ),
    "HTTP outside the routes": (
        "ingest/breach.py",
        "from litestar import get",
        "The HTTP framework stays in app.py and the routes",
    ),
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy that has all that the contracts look at."""
    shutil.copytree(ROOT / "datamanager", tmp_path / "datamanager", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def broken_contracts(checkout: Path) -> list[str]:
    run = subprocess.run(  # noqa: S603  # our own linter, on our own files
        [LINT_IMPORTS, "--no-cache", "--no-logo"],
        cwd=checkout,
        env={"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Contracts:" in run.stdout, run.stdout + run.stderr
    broken = re.findall(r"^(.+) BROKEN\b", run.stdout, re.MULTILINE)
    assert run.returncode == (1 if broken else 0)
    return broken


def breach(checkout: Path, where: str, line: str) -> None:
    with (checkout / "datamanager" / where).open("a", encoding="utf-8") as module:
        module.write(f"\n{line}\n")


def test_the_checkout_keeps_every_contract(checkout: Path) -> None:
    assert broken_contracts(checkout) == []


@pytest.mark.parametrize("what", BREACHES)
def test_a_breach_breaks_its_contract_alone(checkout: Path, what: str) -> None:
    where, line, name = BREACHES[what]
    breach(checkout, where, line)
    assert broken_contracts(checkout) == [name]


def test_the_client_gets_no_server_library_through_another_module(checkout: Path) -> None:
    breach(checkout, "client/breach.py", "import datamanager.kinds.breach")
    breach(checkout, "kinds/breach.py", "import msgpack")
    assert broken_contracts(checkout) == [BREACHES["the client drags in a server library"][2]]


def test_no_contract_goes_untried() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    assert {contract["name"] for contract in contracts} == {name for _, _, name in BREACHES.values()}


def test_an_adapter_and_the_routes_may_import_their_driver(checkout: Path) -> None:
    adapters = {
        "storage/mongo.py": "import pymongo",
        "storage/redis.py": "import redis",
        "storage/s3.py": "import obstore",
    }
    for where, line in {**adapters, "playback/routes.py": "from litestar import get"}.items():
        breach(checkout, where, line)
    assert broken_contracts(checkout) == []
