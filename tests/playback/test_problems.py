"""Whatever goes wrong is told as a problem, and nothing of the inside with it."""

import time
from dataclasses import replace

import httpx
import pytest
from support.browse_server import KnownSamples, browse_server

from datamanager.clock import SystemClock
from datamanager.config import Config
from datamanager.errors import DatamanagerError, MongoUnavailable, Refused
from datamanager.playback.health import HealthChecks
from datamanager.playback.problems import problem_of, problem_of_status


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("DELETE", "/robots", 405, "method_not_allowed"),
        ("GET", "/frames/urls", 405, "method_not_allowed"),
        ("POST", "/frames/urls", 400, "malformed"),
        ("GET", "/sessions/a/b/c/d", 404, "not_found"),
    ],
)
async def test_what_the_framework_refuses_is_a_problem_too(
    http: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() == {"type", "title", "status", "detail", "code"}
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, f"urn:datamanager:problem:{code}")


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        '{"frame_ids": 5}',
        '{"frame_ids": [1]}',
        '{"frame_ids": [], "tiers": {}}',
        '{"frame_ids": [], "x": 1}',
        "\xff",
    ],
)
async def test_a_bad_body_is_told(http: httpx.AsyncClient, body: str) -> None:
    answer = await http.post("/frames/urls", content=body.encode("latin-1"))
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


async def test_a_body_that_is_too_large_is_told(http: httpx.AsyncClient) -> None:
    answer = await http.post("/frames/urls", content=b"[" * 10_000_001)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_a_deeply_nested_body_is_told(http: httpx.AsyncClient) -> None:
    answer = await http.post("/frames/urls", content=b'{"frame_ids":' + b"[" * 200_000)
    assert (answer.status_code, answer.json()["code"]) == (400, "too_deep")


def test_errors_of_ours_keep_their_status_and_code() -> None:
    found = problem_of(Refused("too_deep", "nested too deeply"))
    assert (found.status, found.code, found.title, found.detail) == (400, "too_deep", "Too deep", "nested too deeply")
    assert problem_of(MongoUnavailable("away")).status == 503


@pytest.mark.parametrize("error", [RuntimeError("a secret path"), DatamanagerError("MongoDB refused: a secret")])
def test_what_nobody_meant_tells_nothing(error: Exception) -> None:
    found = problem_of(error)
    assert (found.status, found.code) == (500, "internal")
    assert "secret" not in found.encode().decode()


def test_a_status_without_a_code_of_its_own_gets_a_general_one() -> None:
    assert problem_of_status(418, "x").code == "malformed"
    assert problem_of_status(502, "x").code == "internal"


async def test_alive_ready_and_measured(browse_url: str) -> None:
    async with httpx.AsyncClient(base_url=browse_url, trust_env=False) as http:
        assert (await http.get("/health")).status_code == 200
        ready = await http.get("/ready")
        assert (ready.status_code, ready.json()["ready"]) == (200, True)
        assert all(state["ok"] for state in ready.json()["dependencies"].values())
        metrics = await http.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain")
        assert "datamanager_connections" in metrics.text


async def test_answers_are_timed_by_route_and_not_by_address(browse_url: str) -> None:
    async with httpx.AsyncClient(base_url=browse_url, trust_env=False) as http:
        for path in ("/api/v1/records/one-id", "/api/v1/records/another-id", "/api/v1/no/such/route"):
            await http.get(path)
        metrics = (await http.get("/metrics")).text
    assert 'datamanager_request_seconds_count{route="GET /api/v1/records/{record_id}"}' in metrics
    assert "/no/such" not in metrics
    assert "one-id" not in metrics


async def test_a_server_behind_us_that_is_away_is_named(browse_config: Config) -> None:
    away = replace(browse_config, redis=replace(browse_config.redis, url="redis://127.0.0.1:1/0"))
    with browse_server(away, KnownSamples()) as url:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            assert (await http.get("/health")).status_code == 200
            ready = await http.get("/ready")
            assert (ready.status_code, ready.json()["ready"]) == (503, False)
            states = ready.json()["dependencies"]
            assert (states["mongo"]["ok"], states["s3"]["ok"], states["redis"]["ok"]) == (True, True, False)
            assert "Redis" in states["redis"]["error"]
            assert (await http.get("/api/v1/sessions")).status_code == 200  # reading needs no Redis


@pytest.mark.alone
async def test_a_server_behind_us_that_hangs_is_given_up() -> None:
    clock = SystemClock()
    checks = HealthChecks({"stuck": lambda: clock.sleep(60), "well": lambda: clock.sleep(0)}, clock, limit_s=0.05)
    began_s = time.monotonic()
    found = await checks.check()
    assert time.monotonic() - began_s < 2
    assert not found.ready
    assert (found.dependencies["stuck"].ok, found.dependencies["well"].ok) == (False, True)
