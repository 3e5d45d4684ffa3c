"""What browsing needs to know of samples, and is handed in."""

from typing import Any, NamedTuple, Protocol

__all__ = ["SampleAt", "SampleReader"]


class SampleAt(NamedTuple):
    """One sample: its time in Unix nanoseconds, and its channels' values by name."""

    t_ns: int
    values: dict[str, Any]


class SampleReader(Protocol):
    """Reads `time_series` streams."""

    async def last_at(self, robot_id: str, session_id: str, stream: str, t_ns: int) -> SampleAt | None:
        """The last sample of a stream at or before `t_ns`; None when there is none."""
        ...

    async def counts(
        self, robot_id: str, session_id: str, start_ns: int, end_ns: int, bins: int
    ) -> dict[str, list[int]]:
        """How many samples each stream has in each bin of [start_ns, end_ns).

        A sample at t stands in bin (t - start_ns) * bins // (end_ns - start_ns).
        """
        ...
