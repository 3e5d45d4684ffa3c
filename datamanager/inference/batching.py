"""How many frames go into one call of a model: as many as the latency target allows, by what calls were seen to cost."""

from dataclasses import dataclass

from datamanager.clock import Clock

__all__ = ["BatchPlan", "BatchPlanner"]

_FORGET = 0.97  # weight that a call keeps with each later one: the last 30 or so count
_PRIOR_N = (1.0, 8.0)  # before anything was seen: these sizes ...
_PRIOR_S = (0.010, 0.045)  # ... are believed to take so long, at a weight that one real call outdoes
_PRIOR_WEIGHT = 0.05
_LEAST_S = 1e-5
_BUSY = 0.85  # a device busier than this is spared: fewer and larger calls
_MOST_WAIT = 0.25  # of the target, for a batch to fill
_RECOVER_S = 30.0
_MAX_RECOVER_S = 600.0


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What to do now.

    Attributes:
        take: how many of those waiting to take, 0 where it is worth to wait for more.
        wait_s: how long to wait for more before asking again; 0 where `take` is not.
    """

    take: int
    wait_s: float = 0.0


class BatchPlanner:
    """Plans the batches of one model on one device.

    A call of n frames is taken to cost a + b * n seconds; a and b are learned from every call by least squares, older
    calls counting less. While the oldest waiting frame can still make the target, the batch is what fits into the time
    that it has left. Once it can't, what counts is to get through: the batch is the largest that a frame which comes
    now can wait for and still be in time, the target itself as the last bound. What waits is taken at once: batches grow
    by themselves while a call runs. Only for a busy device is it worth to let one fill.

    Args:
        clock: tells when a batch that was halved may grow again.
        max_batch: most frames of one call.
        target_s: time from a frame's arrival to its result, seconds.
    """

    def __init__(self, clock: Clock, max_batch: int, target_s: float) -> None:
        self._clock = clock
        self._max_batch = max(1, max_batch)
        self._target_s = target_s
        self._limit = self._max_batch
        self._cost = _Line()
        self._recover_s = _RECOVER_S
        self._shrunk_s: float | None = None

    @property
    def limit(self) -> int:
        """Most frames of one call now: `max_batch`, or less after an out-of-memory."""
        self._recover()
        return self._limit

    @property
    def cost(self) -> tuple[float, float]:
        """What was learned: seconds of a call, and of each frame in it."""
        return self._cost.fit()

    def seconds(self, n: int) -> float:
        """What a call of `n` frames is expected to take."""
        a, b = self._cost.fit()
        return a + b * n

    @property
    def pace_s(self) -> float:
        """What each frame of the largest call is expected to take, seconds."""
        return self.seconds(self.limit) / self.limit

    def plan(self, waiting: int, oldest_wait_s: float, load: float | None = None) -> BatchPlan:
        """What to do now.

        Args:
            waiting: frames that could be taken.
            oldest_wait_s: how long ago the oldest of them arrived, seconds.
            load: how busy the device is, 0 to 1, where that is known.
        """
        if waiting <= 0:
            return BatchPlan(0)
        left_s = self._target_s - oldest_wait_s
        in_time = self._fits(left_s)
        most = in_time if in_time >= 1 else max(self._fits(self._target_s / 2), 1)
        if (
            waiting > 2 * most
        ):  # they pile up: what a larger batch saves for all is worth more than the first one's wait
            most = max(most, self._fits(self._target_s))
        take = min(waiting, most)
        if load is not None and load > _BUSY and take < most and in_time >= 1:
            wait_s = min(left_s - self.seconds(take + 1), _MOST_WAIT * self._target_s - oldest_wait_s)
            if wait_s > _LEAST_S:
                return BatchPlan(0, wait_s)
        return BatchPlan(take)

    def size(self, waiting: int, oldest_wait_s: float, load: float | None = None) -> int:
        """How many to take when no waiting is wanted: at least one where there is one."""
        return self.plan(waiting, oldest_wait_s, load).take or min(waiting, 1)

    def observed(self, n: int, seconds: float) -> None:
        """A call of `n` frames went well and took `seconds`, the reading of the frames left out."""
        if n >= 1 and seconds > 0:
            self._cost.add(n, seconds)

    def shrink(self, n: int) -> bool:
        """A call of `n` frames did not fit into memory: from now on they are half as large at most.

        The limit doubles again after 30 seconds in which none failed, up to what it was; each time that it was too
        soon, it waits twice as long, up to 10 minutes.

        Returns:
            Whether there is a smaller batch to try; False when one frame was too much.
        """
        now_s = self._clock.monotonic_s()
        if self._shrunk_s is not None:
            self._recover_s = min(2 * self._recover_s, _MAX_RECOVER_S)
        self._shrunk_s = now_s
        self._limit = max(1, min(self._limit, n // 2))
        return n > 1

    def _recover(self) -> None:
        now_s = self._clock.monotonic_s()
        while self._shrunk_s is not None and now_s - self._shrunk_s >= self._recover_s:
            self._shrunk_s += self._recover_s
            self._limit = min(2 * self._limit, self._max_batch)
            if self._limit == self._max_batch and now_s - self._shrunk_s >= self._recover_s:
                self._shrunk_s, self._recover_s = None, _RECOVER_S

    def _fits(self, seconds: float) -> int:
        """The most frames whose call takes no longer than this."""
        a, b = self._cost.fit()
        return max(0, min(self.limit, int((seconds - a) / b)))


class _Line:
    """Seconds over frames, by weighted least squares; neither a call nor a frame costs less than nothing."""

    def __init__(self) -> None:
        self._sums = [0.0] * 5  # of the weights, and of n, s, n * n and n * s times their weights
        for n, seconds in zip(_PRIOR_N, _PRIOR_S, strict=True):
            self._put(n, seconds, _PRIOR_WEIGHT)

    def add(self, n: float, seconds: float) -> None:
        """One more call: those before it count a little less."""
        self._sums = [_FORGET * total for total in self._sums]
        self._put(n, seconds, 1.0)

    def _put(self, n: float, seconds: float, weight: float) -> None:
        terms = (1.0, n, seconds, n * n, n * seconds)
        self._sums = [total + weight * term for total, term in zip(self._sums, terms, strict=True)]

    def fit(self) -> tuple[float, float]:
        """a, b of a + b * n."""
        mean_n, mean_s, mean_nn, mean_ns = (total / self._sums[0] for total in self._sums[1:])
        spread = mean_nn - mean_n**2
        if spread < 0.05 * mean_n**2:  # all alike in size: nothing tells a call's share from a frame's; half is each's
            return 0.5 * mean_s, max(0.5 * mean_s / mean_n, _LEAST_S)
        b = max((mean_ns - mean_n * mean_s) / spread, _LEAST_S)
        a = mean_s - b * mean_n
        return (a, b) if a >= 0 else (0.0, max(mean_s / mean_n, _LEAST_S))
