"""What a robot gives as a time, as Unix nanoseconds."""

import datetime as dt
import time

import numpy as np

from datamanager.errors import Refused
from datamanager.kinds.names import check_t_ns, seconds_to_ns

__all__ = ["Time", "to_ns"]

Time = float | int | dt.datetime | None
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def to_ns(t: Time) -> int:
    """A time as Unix nanoseconds.

    Args:
        t: float seconds (they count to the microsecond), int nanoseconds, an aware datetime, or None for now.

    Raises:
        Refused: `wrong_type`, or `bad_time` before 1970, beyond int64, or a datetime that names no time zone.
    """
    if t is None:
        return time.time_ns()
    if type(t) is int:
        return check_t_ns(t)
    if isinstance(t, dt.datetime):
        if t.utcoffset() is None:
            raise Refused("bad_time", "a datetime must name its time zone")
        since = t - _EPOCH
        return check_t_ns(((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds) * 1000)
    if isinstance(t, float):
        return seconds_to_ns(float(t))
    if isinstance(t, np.integer):
        return check_t_ns(int(t))
    if isinstance(t, np.floating):
        return seconds_to_ns(float(t))
    raise Refused("wrong_type", f"a time is float seconds, int nanoseconds, a datetime or None, not {type(t).__name__}")
