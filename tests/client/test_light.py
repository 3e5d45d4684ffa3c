"""The robot's side is light: what it imports, how long that takes, and how large it is where nothing else is installed."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOST_MB = 20
MOST_S = 0.3
SERVER_ONLY = (
    "PIL aiobotocore botocore bson isal litestar msgpack obstore onnxruntime prometheus_client pyarrow pymongo redis "
    "structlog uvicorn yaml"
).split()
IMPORT = """
import json, sys, time
begin = time.process_time()  # not the wall's: other programs on the machine are not the client's weight
import datamanager.client
from datamanager.client import {names}
print(json.dumps([time.process_time() - begin, sorted(sys.modules)]))
"""


def imported(python: Path | str, names: str) -> tuple[float, set[str]]:
    """How long importing names of the client takes at best, in CPU seconds, and which modules are then there."""
    runs = []
    for _ in range(5):
        done = subprocess.run(  # noqa: S603 - our own program
            [python, "-c", IMPORT.format(names=names)], capture_output=True, check=True, cwd="/", env=_environ()
        )
        runs.append(json.loads(done.stdout))
    return min(seconds for seconds, _ in runs), {name for _, modules in runs for name in modules}


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def test_the_client_imports_no_library_that_only_the_server_has() -> None:
    _, modules = imported(sys.executable, "*")
    assert "datamanager.client.reader" in modules
    assert modules.isdisjoint(SERVER_ONLY)
    ours = {name for name in modules if name.startswith("datamanager")}
    assert {name for name in ours if not name.startswith("datamanager.client")} == {
        "datamanager",
        "datamanager.errors",
        "datamanager.kinds",
        "datamanager.kinds.names",
        "datamanager.kinds.recognise",
        "datamanager.kinds.vuer_tags",
    }


def test_a_robot_that_only_sends_imports_no_reader() -> None:
    _, modules = imported(sys.executable, "Robot, AsyncRobot")
    assert "httpx" not in modules
    assert "datamanager.client.blocking" in modules


@pytest.fixture(scope="module")
def robot_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which `pip install .` was done and nothing else."""
    folder = tmp_path_factory.mktemp("robot") / "venv"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "--quiet"]
    done = subprocess.run([*pip, str(ROOT)], capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    if "No matching distribution" in done.stderr or "NewConnectionError" in done.stderr:
        pytest.skip(f"no package registry is within reach: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return python


def test_the_base_install_is_small(robot_python: Path) -> None:
    [packages] = (robot_python.parents[1] / "lib").glob("python*/site-packages")
    sizes = {
        entry.name: sum(file.stat().st_size for file in [entry, *entry.rglob("*")] if file.is_file())
        for entry in packages.iterdir()
    }
    assert "numpy" in sizes
    beside = {name: size for name, size in sizes.items() if not name.startswith("numpy")}
    assert sum(beside.values()) < MOST_MB * 1e6, beside


def test_the_base_install_imports_quickly_and_runs(robot_python: Path) -> None:
    seconds, modules = imported(robot_python, "Robot, AsyncRobot")
    assert seconds < MOST_S
    assert modules.isdisjoint(SERVER_ONLY)
    seconds, _ = imported(robot_python, "*")
    assert seconds < 2 * MOST_S
    version = subprocess.run(  # noqa: S603 - our own program
        [robot_python.parent / "datamanager", "--version"], capture_output=True, check=True, text=True
    )
    assert version.stdout.strip()
