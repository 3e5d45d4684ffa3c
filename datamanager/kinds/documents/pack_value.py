"""Values of MessagePack as JSON can carry them, read where they stand, and the way to them."""

import itertools
import struct
from collections.abc import Callable, Iterator
from typing import Any

import msgpack

from datamanager.errors import RangeTooLarge, Refused
from datamanager.kinds.documents.answer import Answer, plain_float, plain_time, to_json
from datamanager.kinds.documents.pack_format import Family, Head, read_head, scalar_value
from datamanager.kinds.documents.pack_walk import walk_pack
from datamanager.kinds.documents.pointer import array_index, missing, pointer_of

__all__ = ["PackPlain", "find_value", "key_token"]

_KEY_BYTES = 4096
_TIMESTAMP = -1
_NO_LIMIT = 1 << 40


class PackPlain:
    """Makes plain values.

    Args:
        data: the whole document, known to be good.
        answer: counts what it comes to.
        top: the pointer of the value that is asked for.
        max_depth: how deep values may nest.
        special: called with each map's place and pointer; what it returns stands for the map, unless that is None.
    """

    def __init__(
        self,
        data: bytes,
        answer: Answer,
        top: str,
        max_depth: int,
        special: Callable[[int, str], Any] | None = None,
    ) -> None:
        self._data = data
        self._answer = answer
        self._top = top
        self._max_depth = max_depth
        self._special = special

    def at(self, at: int) -> Any:
        """The value that begins at `at`."""
        return self._value(at, self._top, self._max_depth)[0]

    def _value(self, at: int, path: str, levels: int) -> tuple[Any, int]:
        head = read_head(self._data, at)
        if head.family < Family.ARRAY:
            return self._scalar(at, head, path), head.end
        if levels <= 0:
            raise Refused("too_deep", f"it nests deeper than {self._max_depth} levels", offset=at)
        self._answer.count(2)
        if head.family is Family.ARRAY:
            return self._array(head, path, levels - 1)
        special = self._special(at, path) if self._special else None
        if special is not None:
            return special, _end(self._data, at, head)
        return self._map(head, path, levels - 1)

    def _array(self, head: Head, path: str, levels: int) -> tuple[list[Any], int]:
        found, at = [], head.body
        for index in range(head.size):
            value, at = self._value(at, f"{path}/{index}", levels)
            found.append(value)
        return found, at

    def _map(self, head: Head, path: str, levels: int) -> tuple[dict[str, Any], int]:
        found, at = {}, head.body
        for _ in range(head.size):
            token = self._answer.text(key_token(self._data, at))
            at = _end(self._data, at, read_head(self._data, at))
            found[token], at = self._value(at, path + pointer_of([token]), levels)
        return found, at

    def _scalar(self, at: int, head: Head, path: str) -> Any:
        data = self._data[head.body : head.end]
        if head.family is Family.STR:
            return self._text(data)
        if head.family is Family.BIN:
            return self._answer.data(data, path, is_whole=path == self._top)
        if head.family is Family.EXT:
            return _timestamp(head, data) or {
                "$ext": head.code,
                **self._answer.data(data, path, is_whole=path == self._top),
            }
        self._answer.count(8)
        value = scalar_value(self._data, at, head)
        return plain_float(value) if isinstance(value, float) else value

    def _text(self, data: bytes) -> Any:
        try:
            return self._answer.text(data.decode("utf-8"))
        except UnicodeDecodeError:
            text = self._answer.text(data.decode("utf-8", "replace"))
            return {**self._answer.data(data, "", is_whole=True), "text": text}


def find_value(data: bytes, tokens: list[str]) -> int:
    """Where the value begins that a path leads to. A key that is no text goes by its text.

    Raises:
        NotFound: there is none.
    """
    at = 0
    for depth, token in enumerate(tokens):
        head = read_head(data, at)
        inner = _find_in(data, head, token)
        if inner is None:
            raise missing(tokens, depth, _describe(head))
        at = inner
    return at


def key_token(data: bytes, at: int) -> str:
    """A map's key as a text: what a path calls it."""
    head = read_head(data, at)
    if head.family is Family.STR:
        return data[head.body : head.end].decode("utf-8", "replace")
    try:
        plain = PackPlain(data, Answer(_KEY_BYTES, _KEY_BYTES), "", 64).at(at)
    except (RangeTooLarge, Refused):
        return f"key at byte {at}"
    return plain if isinstance(plain, str) else to_json(plain).decode()


def _end(data: bytes, at: int, head: Head) -> int:
    """Where a value ends that is known to be good."""
    return head.end if head.family < Family.ARRAY else walk_pack(data, _NO_LIMIT, _NO_LIMIT, begin=at).end


def _find_in(data: bytes, head: Head, token: str) -> int | None:
    if head.family is Family.ARRAY:
        index = array_index(token)
        if index is None or index >= head.size:
            return None
        return next(itertools.islice(_starts(data, head.body), index, None))
    if head.family is not Family.MAP:
        return None
    found = None
    starts = _starts(data, head.body)
    for _ in range(head.size):
        key, value = next(starts), next(starts)
        if key_token(data, key) == token:
            found = value  # of equal keys the last one counts, as in JSON
    return found


def _starts(data: bytes, at: int) -> Iterator[int]:
    """Where the values begin that stand one behind the other from `at` on."""
    unpacker = msgpack.Unpacker(max_buffer_size=2**31 - 1)
    unpacker.feed(memoryview(data)[at:])
    while True:
        yield at + unpacker.tell()
        unpacker.skip()


def _describe(head: Head) -> str:
    if head.family is Family.ARRAY:
        return f"an array of {head.size} entries"
    if head.family is Family.MAP:
        return f"a map of {head.size} entries"
    return f"a value of type {head.family.name.lower()}"


def _timestamp(head: Head, data: bytes) -> Any:
    """The time of a timestamp extension in one of its three forms; None for any other."""
    if head.code != _TIMESTAMP:
        return None
    if len(data) == 4:
        return plain_time(struct.unpack(">I", data)[0], 0)
    if len(data) == 8:
        both = struct.unpack(">Q", data)[0]
        return plain_time(both & (1 << 34) - 1, both >> 34)
    if len(data) == 12:
        nanoseconds, seconds = struct.unpack(">Iq", data)
        return plain_time(seconds, nanoseconds)
    return None
