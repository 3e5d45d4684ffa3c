import os
from pathlib import Path

import pytest

from datamanager.config import load_config
from datamanager.errors import LocalServerError
from datamanager.local.state import LocalState, hold_folder, read_state, write_state


def test_a_folder_without_the_file_has_no_state(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    state = LocalState(mongo_url="mongodb://127.0.0.1:1", ports={"mongod": 1})
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state


def test_only_the_owner_may_read_the_keys_whatever_stood_there_before(tmp_path: Path) -> None:
    (tmp_path / "local.json.new").write_text("left by a crash")
    (tmp_path / "local.json.new").chmod(0o666)
    write_state(tmp_path, LocalState())
    assert (tmp_path / "local.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["local.json"]


def test_keys_are_random() -> None:
    assert len({LocalState().own_secret_key for _ in range(20)}) == 20
    assert (len(LocalState().own_access_key), len(LocalState().own_secret_key)) == (20, 40)


@pytest.mark.parametrize("content", [b"", b'{"mongo_url": ', b'{"ports": 7}', b"\xff\xfe"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "local.json").write_bytes(content)
    with pytest.raises(LocalServerError, match=r"local\.json cannot be read .*remove it"):
        read_state(tmp_path)


def test_the_state_leads_a_process_to_its_servers() -> None:
    addresses = {"mongo_url": "mongodb://m", "s3_endpoint": "http://s", "redis_url": "redis://r"}
    state = LocalState(**addresses, s3_access_key="a", s3_secret_key="b")  # noqa: S106  # no real one
    config = load_config(state.environ())
    assert (config.mongo.url, config.redis.url) == ("mongodb://m", "redis://r")
    assert (config.s3.endpoint, config.s3.access_key, config.s3.secret_key) == ("http://s", "a", "b")


def test_a_folder_that_is_held_is_refused_and_its_holder_named(tmp_path: Path) -> None:
    with (
        hold_folder(tmp_path / "new" / "folder"),
        pytest.raises(LocalServerError, match=rf"in use by another .*process {os.getpid()}\)"),
        hold_folder(tmp_path / "new" / "folder"),
    ):
        pytest.fail("held twice")


def test_a_folder_that_was_let_go_can_be_held_again(tmp_path: Path) -> None:
    for _ in range(2):
        with hold_folder(tmp_path):
            pass


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalServerError, match="cannot be used: Not a directory"), hold_folder(tmp_path / "file" / "x"):
        pytest.fail("made under a file")
