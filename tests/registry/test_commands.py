"""`datamanager models` and `datamanager enrich`, end to end."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.administering import administer
from support.onnx_models import tiny_model

from datamanager.admin.enrich import _option, rule_name
from datamanager.admin.manifests import make_manifest, version_of
from datamanager.errors import ConfigError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_model(21))
    return path


def told(server: str, path: str) -> Any:
    return httpx.get(f"{server}/api/v1{path}", trust_env=False).json()


def test_a_model_is_added_switched_and_removed(server: str, model: Path) -> None:
    said = administer(
        server, "models", "add", "cli-a", model, "--task", "detect", "--version", "1", "--classes", "car, truck",
        "--input-size", "320x240", "--confidence", "0.4", "--no-track", "--about", "finds cars",
        child=True,
    )  # fmt: skip
    assert said.startswith("cli-a 1 is ready, and in use (")
    manifest = told(server, "/models/cli-a")["versions"][0]["manifest"]
    assert manifest["classes"] == ["car", "truck"]
    assert (manifest["input"]["width"], manifest["input"]["height"], manifest["input"]["fit"]) == (
        320,
        240,
        "letterbox",
    )
    assert (manifest["detect"]["confidence"], manifest["detect"]["track"]) == (0.4, False)
    model.write_bytes(tiny_model(22))
    assert "has the checksum" not in administer(server, "models", "add", "cli-a", model, "--task", "detect", "--no-use")
    first, second = told(server, "/models/cli-a")["versions"]
    assert first["in_use"]
    assert second["manifest"]["input"] is None  # the model says it itself
    assert administer(server, "models", "use", "cli-a", second["version"]) == f"cli-a {second['version']} is in use\n"
    listed = administer(server, "models", "list")
    assert listed.splitlines()[0].split() == ["NAME", "VERSION", "TASK", "SIZE", "RUNS", "ON", "ABOUT"]
    assert any(line.split()[:3] == ["cli-a", second["version"], "detect"] for line in listed.splitlines())
    assert "cli-a" in {m["name"] for m in json.loads(administer(server, "models", "list", "--json"))}
    assert administer(server, "models", "remove", "cli-a", "1") == "cli-a 1 is removed\n"
    assert administer(server, "models", "remove", "cli-a") == "cli-a is removed\n"
    assert "no model 'cli-a'" in administer(server, "models", "remove", "cli-a", status=1, child=True)


def test_the_same_file_again_is_known(server: str, model: Path) -> None:
    add = ("models", "add", "cli-b", model, "--task", "raw")
    version = administer(server, *add).split()[1]
    assert administer(server, *add) == f"cli-b {version} is there already, and in use\n"
    other = administer(server, *add, "--max-batch", "4").split()[1]
    assert other != version
    said = administer(server, *add, "--max-batch", "8", "--version", version, status=1)
    assert "another manifest" in said


def test_a_manifest_may_be_given_and_overridden(server: str, model: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text('{"name": "other", "version": "7", "task": "classify", "classes": ["a"], "timeout_s": 3}')
    administer(server, "models", "add", "cli-c", model, "--manifest", manifest, "--classes", "x,y")
    kept = told(server, "/models/cli-c")["versions"][0]
    assert (kept["version"], kept["manifest"]["name"], kept["manifest"]["timeout_s"]) == ("7", "cli-c", 3.0)
    assert kept["manifest"]["classes"] == ["x", "y"]


def test_what_is_wrong_is_said_in_one_line(server: str, model: Path, tmp_path: Path) -> None:
    add = ("models", "add", "cli-d")
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no model")
    (tmp_path / "bad.json").write_text("[1]")
    raw = ("--task", "raw")
    assert "No such file" in administer(server, *add, tmp_path / "none", *raw, status=2)
    assert "Is a directory" in administer(server, *add, tmp_path, *raw, status=2)
    assert "is empty" in administer(server, *add, tmp_path / "empty", *raw, status=2)
    assert "--task must say" in administer(server, *add, model, status=2)
    assert "--input-size" in administer(server, *add, model, *raw, "--input-size", "big", status=2)
    assert "--fit needs" in administer(server, *add, model, *raw, "--fit", "crop", status=2)
    assert "no JSON object" in administer(server, *add, model, "--manifest", tmp_path / "bad.json", status=2)
    assert "No such file" in administer(server, *add, model, "--manifest", tmp_path / "none", status=2)
    assert "invalid choice" in administer(server, *add, model, "--task", "think", status=2)
    assert "no ONNX model" in administer(server, *add, tmp_path / "text", *raw, status=1)
    assert "manifest.max_batch" in administer(server, *add, model, *raw, "--max-batch", "0", status=1)
    assert "does not answer" in administer("http://127.0.0.1:1", "models", "list", status=1)
    assert "must begin with http" in administer("localhost:80", "models", "list", status=2)


def test_a_rule_is_put_listed_and_removed(server: str, model: Path) -> None:
    administer(server, "models", "add", "cli-e", model, "--task", "detect")
    enrich = ("enrich", "front_*", "--with", "cli-e", "--robot", "cli-e")
    said = administer(server, *enrich, "--priority", "high", "--max-fps", "5", "--option", "confidence=0.5")
    assert said == (
        "cli-e-front_any-cli-e: cli-e looks at images of streams front_* of robots cli-e, high, at most 5 fps, "
        "confidence=0.5\n"
    )
    rule = told(server, "/enrichments/cli-e-front_any-cli-e")
    assert (rule["urgency"], rule["max_fps"], rule["options"]) == ("high", 5.0, {"confidence": 0.5})
    administer(server, *enrich, "--must")  # takes its place
    assert told(server, "/enrichments/cli-e-front_any-cli-e")["must"]
    assert "cli-e-front_any-cli-e" in administer(server, "enrich", "list")
    assert any(r["name"] == "cli-e-front_any-cli-e" for r in json.loads(administer(server, "enrich", "list", "--json")))
    assert "writes front_*/detections already" in administer(server, *enrich, "--name", "again", status=1)
    assert "names the model" in administer(server, "models", "remove", "cli-e", status=1)
    assert administer(server, "enrich", "remove", "cli-e-front_any-cli-e") == "cli-e-front_any-cli-e is removed\n"
    assert "no enrichment" in administer(server, "enrich", "remove", "cli-e-front_any-cli-e", status=1)
    assert "--with" in administer(server, "enrich", "front", status=2)
    assert "one stream pattern" in administer(server, "enrich", "a", "b", "--with", "cli-e", status=2)
    assert "NAME=VALUE" in administer(server, *enrich, "--option", "confidence", status=2)
    assert "'nobody' is not there" in administer(server, "enrich", "a", "--with", "nobody", status=1)


def rule(**fields: Any) -> dict[str, Any]:
    plain = {"model": "m", "kind": "images", "stream": "*", "robot_id": "*", "session_id": "*", "role": "rgb"}
    return plain | {"output": ""} | fields


def test_every_rule_has_a_name_of_its_own() -> None:
    patterns = "* any a a* a? a/b a.b a[bc] *any a_any a-b".split()
    rules = [rule(stream=s, robot_id=r, output=o) for s in patterns for r in ("*", "a", "a*") for o in ("", "x")]
    names = [rule_name(each) for each in rules]
    assert all(len(name) <= 64 and not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789._-") for name in names)
    assert len(set(names)) == len(rules)
    assert rule_name(rule(stream="x" * 300)) != rule_name(rule(stream="x" * 301))


def test_a_version_is_made_of_the_file_and_what_is_said_of_it() -> None:
    manifest = make_manifest("m", task="detect", input_size="640")
    assert manifest["input"] == {"width": 640, "height": 640}
    version = version_of(manifest, "a")
    assert len(version) == 12
    assert version_of(manifest | {"name": "n", "version": "1"}, "a") == version
    assert version_of(dict(reversed(manifest.items())), "a") == version
    assert version_of(manifest, "b") != version
    assert version_of(manifest | {"max_batch": 1}, "a") != version


@pytest.mark.parametrize("size", ["", "0x", "x640", "640x", "640*480", "-1", "123456", "1e3"])
def test_sizes_that_are_none(size: str) -> None:
    with pytest.raises(ConfigError, match="--input-size"):
        make_manifest("m", task="detect", input_size=size)


def test_what_the_options_say_is_json_where_it_can_be() -> None:
    assert [_option(text)[1] for text in ("a=1", "a=0.5", "a=true", 'a=["x"]', "a=word", "a=", "a=b=c")] == [
        1, 0.5, True, ["x"], "word", "", "b=c",
    ]  # fmt: skip
