"""Which frames get their tiers ahead of time; all others get them when somebody asks."""

from collections import OrderedDict

__all__ = ["ThumbnailPolicy"]

_MAX_STREAMS = 100_000  # some 10 MB; a stream forgotten too early only gets a tier too many


class ThumbnailPolicy:
    """At most `rate` frames a second and stream.

    Args:
        rate: tiers ahead of time per stream and second; 0 is none at all, infinity all.
    """

    def __init__(self, rate: float) -> None:
        self._interval_s = 1 / rate if rate > 0 else float("inf")
        self._last_s: OrderedDict[str, float] = OrderedDict()

    def allow(self, stream_key: str, now_s: float) -> bool:
        """Whether a frame of this stream that arrives now gets its tiers ahead of time.

        Args:
            stream_key: tells apart the streams of all sessions.
            now_s: seconds by a clock that never goes back.
        """
        if self._interval_s == float("inf"):
            return False
        last_s = self._last_s.get(stream_key)
        if last_s is not None and now_s - last_s < self._interval_s:
            return False
        self._last_s[stream_key] = now_s
        self._last_s.move_to_end(stream_key)
        if len(self._last_s) > _MAX_STREAMS:
            self._last_s.popitem(last=False)
        return True
