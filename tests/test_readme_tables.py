import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from datamanager.client import Reader, Robot
from datamanager.config import SETTINGS
from datamanager.kinds.names import KINDS

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
GOLDEN = Path(__file__).resolve().parent / "golden"
FILES = {
    "frame.jpg": "images/rgb.jpg",
    "drive.mp4": "video/both.mp4",
    "motor.wav": "audio/tone.wav",
    "table.csv": "csv/semicolons.csv",
    "policy.safetensors": "safetensors/mixed.safetensors",
    "run.zip": "zip/deflate.zip",
    "run.tar.gz": "tar/packed.tar.gz",
}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / "docs" / "readme_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_shows_every_kind_and_setting_as_the_code_has_it(tool: ModuleType) -> None:
    text = README.read_text(encoding="utf-8")
    assert tool.with_tables(text) == text, "README.md and the code differ: `make docs` mends it"


@pytest.mark.parametrize(
    ("here", "there"), [(SETTINGS[0].variable, "DATAMANAGER_OLD_NAME"), ("| `csv` |", "| `ssv` |")]
)
def test_what_changed_in_the_code_shows_up(tool: ModuleType, here: str, there: str) -> None:
    text = README.read_text(encoding="utf-8")
    stale = text.replace(here, there)
    assert stale != text
    assert tool.with_tables(stale) == text


def test_a_readme_without_the_markers_is_refused(tool: ModuleType) -> None:
    with pytest.raises(ValueError, match="each once"):
        tool.with_tables("# a page with no table")
    for begin, end in tool.TABLES:
        text = README.read_text(encoding="utf-8")
        with pytest.raises(ValueError, match="each once"):
            tool.with_tables(text.replace(begin, "").replace(end, end + begin))


def test_every_kind_has_an_example_that_is_taken(
    tool: ModuleType, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(tool.EXAMPLES) == KINDS
    monkeypatch.chdir(tmp_path)
    for name, of in FILES.items():
        shutil.copy(GOLDEN / of, tmp_path / name)
    with Robot(server, "readme", "kinds") as robot:
        for kind, example in tool.EXAMPLES.items():
            exec(example, {"stream": robot.stream(kind), "np": np, "Path": Path})  # noqa: S102  # our own page
        robot.flush(30)
        assert robot.rejects == []
    with Reader(server) as reader:
        session = reader.session("readme", "kinds")
        assert {stream["stream"]: stream["kind"] for stream in session.streams()} == {kind: kind for kind in KINDS}


def test_no_two_settings_share_a_variable_and_each_says_what_it_means() -> None:
    variables = [setting.variable for setting in SETTINGS]
    assert len(variables) == len(set(variables))
    assert all(setting.about.strip() for setting in SETTINGS)
