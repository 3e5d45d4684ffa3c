"""Nested samples of one shape to columns, many at once: what a batch of single samples costs is decided here."""

import array
from collections.abc import Sequence

import numpy as np

from datamanager.errors import Refused
from datamanager.ingest.wire import Message
from datamanager.kinds.names import parse_time_ns
from datamanager.kinds.time_series.columns import Columns, is_columnar
from datamanager.kinds.time_series.flatten import Flattener
from datamanager.kinds.time_series.types import column_from_values

__all__ = ["gather_run"]

_FLOAT = {float}
_FAR_S = 9e9  # later than any time that fits: such a one is looked at closely


def gather_run(run: Sequence[Message], flattener: Flattener, *, from_json: bool) -> Columns | None:
    """The samples as columns; None when they are not all of one shape.

    Raises:
        Refused: one of them is bad; which, shows when each is taken by itself.
    """
    payloads = [message.payload for message in run]
    if type(payloads[0]) is not dict or is_columnar(payloads[0]):
        return None
    found = flattener.rows(payloads)
    if found is None:
        return None
    names, rows = found
    t_ns = np.array([_time(message) for message in run], np.int64)
    columns = list(zip(*rows, strict=True))
    if all(set(map(type, column)) == _FLOAT for column in columns):
        return Columns(t_ns, names, [array.array("d", column).tobytes() for column in columns], None)
    return Columns(t_ns, names, None, [column_from_values(column, from_json=from_json) for column in columns])


def _time(message: Message) -> int:
    seconds = message.timestamp
    if message.t_ns is None and type(seconds) is float and 0 <= seconds < _FAR_S:
        return round(seconds * 1e6) * 1000
    t_ns = parse_time_ns(message.t_ns, seconds)
    if t_ns is None:
        raise Refused("missing_field", "the message has no t_ns and no timestamp")
    return t_ns
