"""`/models` and `/enrichments` on a running server."""

import hashlib
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from support.onnx_models import tiny_model
from support.processes import wait_until

from datamanager.inference.zoo import ZOO

MODEL = tiny_model(7)


@pytest.fixture
def api(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server}/api/v1", trust_env=False, timeout=60) as client:
        yield client


def declared(name: str, data: bytes = MODEL, **more: Any) -> dict[str, Any]:
    manifest = {"name": name, "version": "1", "task": "detect"} | more.pop("manifest", {})
    return {"manifest": manifest, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} | more


def add(api: httpx.Client, name: str, data: bytes = MODEL, **more: Any) -> dict[str, Any]:
    begun = api.post(f"/models/{name}", json=declared(name, data, **more))
    assert begun.status_code == 201, begun.text
    upload = begun.json()
    if upload["status"] == "uploading":
        assert httpx.put(upload["url"], content=data, trust_env=False).status_code == 200
    done = api.post(f"/models/{name}/{upload['version']}/complete")
    assert done.status_code == 200, done.text
    return dict(done.json())


def problem(answer: httpx.Response) -> tuple[int, str, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    return answer.status_code, told["code"], told["detail"]


def test_a_model_is_added_listed_switched_and_removed(api: httpx.Client) -> None:
    item = add(api, "api-a", manifest={"about": "finds things", "classes": ["car"]})
    assert (item["version"], item["task"], item["output"], item["workers"]) == ("1", "detect", "detections", [])
    [version] = item["versions"]
    assert version["sha256"] == hashlib.sha256(MODEL).hexdigest()
    assert (version["in_use"], version["bundled"], version["state"]) == (True, False, "ready")
    assert version["manifest"]["checksum"] == version["sha256"]
    assert version["manifest"]["classes"] == ["car"]
    listed = {m["name"]: m for m in api.get("/models").json()["items"]}
    assert listed["api-a"]["about"] == "finds things"
    assert "versions" not in listed["api-a"]
    add(api, "api-a", tiny_model(8), manifest={"version": "2"}, use=False)
    assert api.get("/models/api-a").json()["version"] == "1"
    assert api.put("/models/api-a/current", json={"version": "2"}).json()["version"] == "2"
    assert api.delete("/models/api-a/1").status_code == 204
    assert api.delete("/models/api-a").status_code == 204
    assert problem(api.get("/models/api-a"))[:2] == (404, "not_found")


def test_the_same_again_is_known(api: httpx.Client) -> None:
    first = add(api, "api-b")
    begun = api.post("/models/api-b", json=declared("api-b")).json()
    assert (begun["status"], begun["url"]) == ("ready", None)
    spelled_out = declared("api-b", manifest={"max_batch": 16, "fallback": ""})  # what is so anyway
    assert api.post("/models/api-b", json=spelled_out).json()["status"] == "ready"
    assert api.get("/models/api-b").json() == first
    other = declared("api-b", manifest={"max_batch": 8})
    assert problem(api.post("/models/api-b", json=other))[:2] == (409, "conflict")
    assert problem(api.post("/models/api-b", json=declared("api-b", tiny_model(9))))[:2] == (409, "conflict")


@pytest.mark.parametrize(
    ("name", "change", "names"),
    [
        ("a b", {}, "name"),
        ("m", {"sha256": "g" * 64}, "sha256"),
        ("m", {"sha256": "A" * 64}, "sha256"),
        ("m", {"sha256": "a" * 63}, "sha256"),
        ("m", {"size_bytes": 0}, "size_bytes"),
        ("m", {"size_bytes": 2 * 1024**3 + 1}, "bytes"),
        ("m", {"size": 1}, "size"),
        ("m", {"manifest": {"name": "n"}}, "manifest.name"),
        ("m", {"manifest": {"version": "../1"}}, "manifest.version"),
        ("m", {"manifest": {"version": "current"}}, "manifest.version"),
        ("m", {"manifest": {"task": "think"}}, "task"),
        ("m", {"manifest": {"tresholds": 1}}, "tresholds"),
        ("m", {"manifest": {"checksum": "0" * 64}}, "manifest.checksum"),
        ("m", {"manifest": {"checksum": "x"}}, "manifest.checksum"),
        ("m", {"manifest": {"fallback": "m"}}, "manifest.fallback"),
        ("m", {"manifest": {"output": "a/b"}}, "manifest.output"),
        ("m", {"manifest": {"max_batch": 0}}, "manifest.max_batch"),
        ("m", {"manifest": {"timeout_s": 601}}, "manifest.timeout_s"),
        ("m", {"manifest": {"memory_bytes": 1000}}, "manifest.memory_bytes"),
        ("m", {"manifest": {"detect": {"confidence": 1.5}}}, "manifest.detect.confidence"),
        ("m", {"manifest": {"classes": [""]}}, "manifest.classes"),
        ("m", {"manifest": {"classes": ["x"] * 10_001}}, "manifest.classes"),
        ("m", {"manifest": {"input": {"width": 0, "height": 1}}}, "manifest.input.width"),
        ("m", {"manifest": {"input": {"width": 8193, "height": 1}}}, "manifest.input.width"),
        ("m", {"manifest": {"input": {"width": 1, "height": 1, "std": [0.0]}}}, "manifest.input.std"),
        ("m", {"manifest": {"input": {"width": 1, "height": 1, "mean": [1.0, 2.0]}}}, "manifest.input.mean"),
        ("m", {"manifest": {"options": {"x": "y" * 128 * 1024}}}, "manifest"),
    ],
)
def test_what_cannot_be_is_refused_by_name(api: httpx.Client, name: str, change: dict[str, Any], names: str) -> None:
    status, code, detail = problem(api.post(f"/models/{name}", json=declared(name, **change)))
    assert (status, names in detail) == (400, True), (code, detail)
    assert name not in {m["name"] for m in api.get("/models").json()["items"]}


def test_the_largest_model_may_be_begun(api: httpx.Client) -> None:
    assert api.post("/models/api-large", json=declared("api-large", size_bytes=2 * 1024**3)).status_code == 201
    assert problem(api.post("/models/api-large/1/complete"))[:2] == (409, "conflict")  # it was never put
    assert api.delete("/models/api-large").status_code == 204


def test_a_file_that_is_no_model_is_refused(api: httpx.Client) -> None:
    data = b"PK\3\4" + bytes(100)
    upload = api.post("/models/api-zip", json=declared("api-zip", data)).json()
    httpx.put(upload["url"], content=data, trust_env=False)
    status, code, detail = problem(api.post("/models/api-zip/1/complete"))
    assert (status, code) == (400, "bad_payload")
    assert "no ONNX model" in detail
    assert api.get("/models/api-zip").json()["version"] is None
    assert "api-zip" not in {m["name"] for m in api.get("/models").json()["items"]}  # nothing of it is ready


def test_the_models_that_come_with_us_are_there_and_stay(api: httpx.Client) -> None:
    names = {model.name for model in ZOO}
    wait_until(lambda: names <= {m["name"] for m in api.get("/models").json()["items"]})
    for model in ZOO:
        told = api.get(f"/models/{model.name}").json()
        assert told["bundled"]
        assert model.checksum in {v["sha256"] for v in told["versions"]}
        assert problem(api.delete(f"/models/{model.name}"))[:2] == (409, "conflict")


def test_a_rule_is_put_replaced_and_removed(api: httpx.Client) -> None:
    add(api, "api-c")
    put = api.put("/enrichments/api-c", json={"model": "api-c", "stream": "front_*", "robot_id": "api-c"})
    assert put.status_code == 200, put.text
    assert put.json() == api.get("/enrichments/api-c").json()
    assert (put.json()["name"], put.json()["urgency"], put.json()["must"]) == ("api-c", "normal", False)
    assert api.put("/enrichments/api-c", json=put.json() | {"max_fps": 5}).json()["max_fps"] == 5
    assert "api-c" in {rule["name"] for rule in api.get("/enrichments").json()["items"]}
    clash = {"model": "api-c", "stream": "front_left", "robot_id": "api-c"}
    assert problem(api.put("/enrichments/api-d", json=clash))[:2] == (409, "conflict")
    assert problem(api.delete("/models/api-c"))[:2] == (409, "conflict")
    assert api.delete("/enrichments/api-c").status_code == 204
    assert problem(api.get("/enrichments/api-c"))[:2] == (404, "not_found")
    assert problem(api.delete("/enrichments/api-c"))[:2] == (404, "not_found")
    assert api.delete("/models/api-c").status_code == 204


@pytest.mark.parametrize(
    ("name", "rule", "names"),
    [
        ("x", {"model": "quality", "fps": 3}, "fps"),
        ("x", {"model": "quality", "urgency": "soon"}, "urgency"),
        ("x", {"model": "quality", "max_fps": -1}, "max_fps"),
        ("x", {"model": "quality", "stream": ""}, "stream"),
        ("x", {"model": "quality", "name": "y"}, "name"),
        ("x", {"model": "nobody"}, "nobody"),
        ("x", {}, "model"),
        ("a b", {"model": "quality"}, "name"),
    ],
)
def test_a_rule_that_cannot_hold_is_refused_by_name(
    api: httpx.Client, name: str, rule: dict[str, Any], names: str
) -> None:
    status, code, detail = problem(api.put(f"/enrichments/{name}", json=rule))
    assert (status, names in detail) == (400, True), (code, detail)
    assert name not in {each["name"] for each in api.get("/enrichments").json()["items"]}


@pytest.mark.alone
def test_a_large_model_does_not_go_through_the_servers_memory(server: str, api: httpx.Client) -> None:
    add(api, "api-warm")
    pid = pid_of(server)
    before = memory(pid, "VmRSS")
    with open(f"/proc/{pid}/clear_refs", "w") as file:  # noqa: PTH123  # not a path like others; begins the peak anew
        file.write("5")
    data = b"\x32\x80\xc2\xd7\x2f" + bytes(100_000_000) + MODEL  # a doc_string of so many bytes
    assert add(api, "api-huge", data)["size_bytes"] == len(data)
    grown = memory(pid, "VmHWM") - before
    assert grown < 20_000_000, f"the server grew by {grown / 1e6:.1f} MB"
    assert api.delete("/models/api-huge").status_code == 204


def pid_of(server: str) -> int:
    port = int(server.rpartition(":")[2])
    for child in psutil.Process().children(recursive=True):
        if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in child.net_connections("tcp")):
            return int(child.pid)
    raise AssertionError("nobody listens")


def memory(pid: int, field: str) -> int:
    """`VmRSS` or `VmHWM` of a process, in bytes."""
    with open(f"/proc/{pid}/status") as file:  # noqa: PTH123  # as above
        line = next(line for line in file if line.startswith(field))
    return int(line.split()[1]) * 1024
