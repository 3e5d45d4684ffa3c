"""The OpenAPI document tells the truth: nothing that it allows, and little that it does not, is a server error."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"


@pytest.mark.parametrize("examples", [8, pytest.param(60, marks=pytest.mark.soak)])
def test_no_request_is_a_server_error(server: str, tmp_path: Path, examples: int) -> None:
    run = subprocess.run(  # noqa: S603  # a tool of our own environment, against our own server
        [
            SCHEMATHESIS,
            "run",
            f"{server}/schema/openapi.json",
            "--checks=not_a_server_error",
            "--phases=coverage,fuzzing",
            "--exclude-path=/api/v1/ingest",  # it has tests of its own, and a body that no schema tells
            f"--max-examples={examples}",
            "--request-timeout=20",
            "--seed=1",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=14 * examples,
    )
    assert run.returncode == 0, run.stdout[-6000:]


def test_every_route_is_described(server: str) -> None:
    document = httpx.get(f"{server}/schema/openapi.json", trust_env=False).json()
    assert {"/health", "/ready", "/metrics", "/api/v1/robots", "/api/v1/frames/{frame_id}/{tier}"} <= set(
        document["paths"]
    )
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), f"{method} {path} says nothing of itself"
    page = document["components"]["schemas"]
    assert any("RecordItem" in name for name in page)
