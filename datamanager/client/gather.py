"""Single samples of one stream, gathered until they make one columnar message.

Samples share a message while they have the same channels, and values that one column can carry without changing any: a
channel may miss values, and may mix ints with floats, but not numbers with text or booleans.
"""

from typing import Any

from datamanager.client.columns import columns_of_rows
from datamanager.client.flatten import Value

__all__ = ["Gather"]

_NUMBER = {int: "number", float: "number", bool: "boolean", str: "text", type(None): None}
_SAMPLE_BYTES = 8
_VALUE_BYTES = 9


class Gather:
    """The samples of one stream that wait to be sent together.

    Attributes:
        since_s: when the first of them came.
        nbytes: about how large their message will be.
    """

    def __init__(self, since_s: float, metadata: dict[str, Any] | None) -> None:
        self.since_s = since_s
        self.metadata = metadata
        self.nbytes = 0
        self._names: tuple[str, ...] = ()
        self._types: tuple[type, ...] = ()
        self._t_ns: list[int] = []
        self._rows: list[tuple[Value, ...]] = []

    def __len__(self) -> int:
        return len(self._t_ns)

    def takes(self, names: tuple[str, ...], values: tuple[Value, ...], metadata: dict[str, Any] | None) -> bool:
        """Whether a sample may share the message."""
        if not self._t_ns:
            return True
        if names != self._names or (metadata is not None and metadata != self.metadata):
            return False
        types = tuple(map(type, values))
        return types == self._types or self._widen(types)

    def add(self, t_ns: int, names: tuple[str, ...], values: tuple[Value, ...]) -> int:
        """Takes a sample that `takes` allowed; returns about how many bytes it adds."""
        if not self._t_ns:
            self._names = names
            self._types = tuple(map(type, values))
        self._t_ns.append(t_ns)
        self._rows.append(values)
        nbytes = sample_bytes(values)
        self.nbytes += nbytes
        return nbytes

    def payload(self) -> dict[str, Any]:
        """All of them as one columnar payload."""
        return columns_of_rows(self._names, self._t_ns, self._rows)

    def _widen(self, types: tuple[type, ...]) -> bool:
        """Whether the types differ only in missing values and in ints among floats; if so, what is known grows."""
        merged = []
        for known, new in zip(self._types, types, strict=True):
            if _NUMBER[known] is not None and _NUMBER[new] is not None and _NUMBER[known] != _NUMBER[new]:
                return False
            merged.append(new if _NUMBER[known] is None else known)
        self._types = tuple(merged)
        return True


def sample_bytes(values: tuple[Value, ...]) -> int:
    """About how many bytes a sample takes on the wire."""
    text = sum(len(value) for value in values if type(value) is str)
    return _SAMPLE_BYTES + _VALUE_BYTES * len(values) + text
