"""A clock that stands still until a test moves it."""

__all__ = ["ManualClock"]


class ManualClock:
    """A `Clock`: `advance` moves it, and so does sleeping, which returns at once."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Unix nanoseconds."""
        return self._now_ns

    def monotonic_s(self) -> float:
        """Seconds."""
        return self._now_ns / 1e9

    def advance(self, seconds: float) -> None:
        """Moves time on."""
        self._now_ns += int(seconds * 1e9)

    async def sleep(self, seconds: float) -> None:
        """Moves time on by `seconds`, at once."""
        self.advance(seconds)
