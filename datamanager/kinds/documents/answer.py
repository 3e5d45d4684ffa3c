"""A document as JSON, for whoever reads it: bounded, and plain where JSON has no form of its own."""

import base64
import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from datamanager.errors import RangeTooLarge
from datamanager.kinds.documents.pointer import pointer_of

__all__ = ["MAX_ANSWER_BYTES", "Answer", "Tagged", "plain_float", "plain_time", "to_json"]

MAX_ANSWER_BYTES = 8 << 20
_MAX_VALUES = 200_000
_BYTES_WITHIN = 16_384  # of bytes that stand within a larger answer
_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Tagged:
    """A value that bears a tag of its own, as YAML has them."""

    tag: str
    value: Any


class Answer:
    """Makes the parts of one answer, and counts what it comes to.

    Args:
        max_bytes: how large the answer may be.
        max_values: how many values it may hold.
    """

    def __init__(self, max_bytes: int = MAX_ANSWER_BYTES, max_values: int = _MAX_VALUES) -> None:
        self._max_bytes, self._bytes_left = max_bytes, max_bytes
        self._max_values, self._values_left = max_values, max_values

    def count(self, size_bytes: int = 0, values: int = 1) -> None:
        """Counts values, and the bytes that they take.

        Raises:
            RangeTooLarge: the answer becomes too large.
        """
        self._values_left -= values
        self._bytes_left -= size_bytes
        if self._values_left < 0 or self._bytes_left < 0:
            most = f"{self._max_bytes} bytes or {self._max_values} values"
            raise RangeTooLarge(f"the answer would have more than {most}: name a path, or read the record's content")

    def text(self, text: str) -> str:
        """A text."""
        self.count(len(text))
        return text

    def data(self, data: bytes, path: str, *, is_whole: bool) -> dict[str, Any]:
        """Bytes: base64, which `encoding` says. Long ones stand in an answer only when they are all of it (`is_whole`)."""
        if len(data) > _BYTES_WITHIN and not is_whole:
            self.count()
            return {"encoding": "base64", "size_bytes": len(data), "data": None, "path": path}
        self.count(len(data) * 4 // 3)
        return {"encoding": "base64", "data": base64.b64encode(data).decode("ascii")}

    def plain(self, value: Any, path: str, *, is_whole: bool = True) -> Any:
        """Maps with text keys, lists, texts, numbers, bytes, times and tagged values, as JSON can carry them.

        Args:
            value: the value.
            path: its pointer.
            is_whole: whether it is all that was asked for.

        Raises:
            RangeTooLarge: the answer becomes too large.
        """
        match value:
            case dict():
                self.count(2)
                return {
                    self.text(key): self.plain(value[key], path + pointer_of([key]), is_whole=False) for key in value
                }
            case list():
                self.count(2)
                return [self.plain(item, f"{path}/{index}", is_whole=False) for index, item in enumerate(value)]
            case Tagged():
                return {"$tag": self.text(value.tag), "value": self.plain(value.value, path, is_whole=is_whole)}
            case bytes():
                return self.data(value, path, is_whole=is_whole)
        return self._scalar(value)

    def _scalar(self, value: Any) -> Any:
        if isinstance(value, date | time):
            value = value.isoformat()
        if isinstance(value, str):
            return self.text(value)
        self.count(8)
        return plain_float(value) if isinstance(value, float) else value


def plain_float(value: float) -> float | str:
    """A float, or the wire's word for one that JSON lacks."""
    return value if math.isfinite(value) else _NOT_FINITE.get(value, "NaN")


def plain_time(seconds: int, nanoseconds: int) -> str | dict[str, int]:
    """A Unix time as RFC 3339 in UTC, with nanoseconds; outside of the years 1 to 9999 as its two numbers."""
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return {"seconds": seconds, "nanoseconds": nanoseconds}
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + f"{fraction}Z"


def to_json(value: Any) -> bytes:
    """Plain values as JSON in UTF-8; a lone surrogate becomes the escape that it was."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")
