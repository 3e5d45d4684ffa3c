"""`datamanager push` brings files and folders into a session, once, and names what was refused."""

import os
from pathlib import Path

import httpx
import pytest
from support.pushing import PNG_1X1, push, records


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "run 7"
    (found / "cam").mkdir(parents=True)
    for n in range(3):
        (found / "cam" / f"{n}.png").write_bytes(PNG_1X1)
    (found / "notes.md").write_text("# A run\n")
    (found / "big.bin").write_bytes(os.urandom(2_000_000))
    return found


def test_a_folder_becomes_a_session_and_is_not_doubled(server: str, folder: Path) -> None:
    said = push(server, folder)
    assert "5 of 5 files are in pusher/run_7" in said
    found = records(server, "run_7")
    assert sorted((r["stream"], r["kind"]) for r in found) == [
        ("big", "file"),
        *[("cam", "images")] * 3,
        ("notes", "markdown"),
    ]
    session = httpx.get(f"{server}/api/v1/sessions/pusher/run_7", trust_env=False).json()
    assert session["status"] == "ended"
    assert push(server, folder).count("is there already") == 5
    (folder / "cam" / "3.png").write_bytes(PNG_1X1)
    assert push(server, folder).count("is there already") == 5
    assert len(records(server, "run_7")) == 6
    assert len(records(server, "run_7", stream="cam")) == 4


def test_what_is_refused_is_named_and_the_rest_goes_on(server: str, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(PNG_1X1[:30])
    (tmp_path / "good.png").write_bytes(PNG_1X1)
    said = push(server, tmp_path / "bad.png", tmp_path / "good.png", "--session", "refused", status=1)
    assert "NO  bad.png → images bad: bad_payload" in said
    assert "ok  good.png" in said
    assert [r["stream"] for r in records(server, "refused")] == ["good"]


def test_stream_time_and_kind_may_be_said(server: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    push(server, tmp_path / "a.json", *"--session said --stream x/y --kind file --time 2024-01-02T03:04:05Z".split())
    [record] = records(server, "said")
    assert (record["stream"], record["kind"], record["t_ns"]) == ("x/y", "file", "1704164645000000000")


def test_wrong_options_stop_it(server: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")
    assert "--session must be given" in push(server, path, status=2)
    assert "is not there" in push(server, tmp_path / "none", "--session", "s", status=2)
    assert "is no time" in push(server, path, "--session", "s", "--time", "yesterday", status=2)
    assert "not one of the kinds" in push(server, path, "--session", "s", "--kind", "nonsense", status=2)
