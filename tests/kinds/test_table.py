"""The table of kinds, and what every kind has."""

from dataclasses import asdict
from importlib import import_module

import pytest

from datamanager.config import Config
from datamanager.kinds.kind import Hints, KindLimits
from datamanager.kinds.names import KINDS
from datamanager.kinds.table import KIND_TABLE


def test_settings_and_limits_are_the_same() -> None:
    assert asdict(Config().kinds) == asdict(KindLimits())


def test_every_kind_has_its_row() -> None:
    assert set(KIND_TABLE) == KINDS


@pytest.mark.parametrize("kind", sorted(set(KIND_TABLE) - {"time_series"}))
def test_every_kind_has_what_its_row_says(kind: str) -> None:
    module = import_module(f"datamanager.kinds.{kind}")
    row = KIND_TABLE[kind]
    assert callable(module.examine)
    assert callable(getattr(module, "encode", None)) == row.value
    assert callable(getattr(module, "is_costly", None)) == (row.here_bytes is None)


def test_hints_are_checked() -> None:
    assert Hints(payload={"format": "jpeg"}).text("format") == "jpeg"
    assert Hints().text("format") is None
