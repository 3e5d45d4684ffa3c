"""The one place that imports `river`, and only when something is asked for that needs it."""

from importlib import import_module
from typing import Any

from datamanager.errors import ConfigError

__all__ = ["river"]


def river(module: str) -> Any:
    """A module of river, such as `drift`.

    Raises:
        ConfigError: river is not installed.
    """
    try:
        return import_module(f"river.{module}")
    except ImportError as exc:
        raise ConfigError(
            "this rule needs river, which is not installed here: pip install datamanager[analytics]"
        ) from exc
