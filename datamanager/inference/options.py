"""The manifest's `options`, read and checked one at a time."""

from collections.abc import Mapping
from typing import Any

from datamanager.errors import Refused

__all__ = ["read_count", "read_flag", "read_number"]

Options = Mapping[str, Any]


def read_count(options: Options, name: str, default: int, most: int) -> int:
    """A whole number from 1 to `most`.

    Raises:
        Refused: `wrong_type` or `bad_payload`; the detail names the option.
    """
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused("wrong_type", f"options.{name} is a whole number, not {type(value).__name__}")
    if not 1 <= value <= most:
        raise Refused("bad_payload", f"options.{name} is from 1 to {most}, not {value}")
    return value


def read_flag(options: Options, name: str) -> bool | None:
    """True or false; None where nothing is said.

    Raises:
        Refused: `wrong_type`.
    """
    value = options.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refused("wrong_type", f"options.{name} is true or false, not {type(value).__name__}")
    return value


def read_number(options: Options, name: str, default: float) -> float:
    """A number.

    Raises:
        Refused: `wrong_type`.
    """
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("wrong_type", f"options.{name} is a number, not {type(value).__name__}")
    return float(value)
