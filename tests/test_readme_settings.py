import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from datamanager.config import SETTINGS

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("settings_table", ROOT / "docs" / "settings_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_shows_every_setting_as_the_code_has_it(tool: ModuleType) -> None:
    text = README.read_text(encoding="utf-8")
    assert tool.with_settings(text) == text, (
        f"README.md and datamanager/config.py differ: `make docs` mends it. The table:\n\n{tool.settings_table(SETTINGS)}"
    )


def test_a_setting_changed_in_the_code_shows_up(tool: ModuleType) -> None:
    text = README.read_text(encoding="utf-8")
    stale = text.replace(f"`{SETTINGS[0].variable}`", "`DATAMANAGER_OLD_NAME`")
    assert stale != text
    assert tool.with_settings(stale) == text


def test_a_readme_without_the_markers_is_refused(tool: ModuleType) -> None:
    with pytest.raises(ValueError, match="each once"):
        tool.with_settings("# a page with no table")
    with pytest.raises(ValueError, match="each once"):
        tool.with_settings(f"{tool.END}\n{tool.BEGIN}")


def test_no_two_settings_share_a_variable_and_each_says_what_it_means() -> None:
    variables = [setting.variable for setting in SETTINGS]
    assert len(variables) == len(set(variables))
    assert all(setting.about.strip() for setting in SETTINGS)
