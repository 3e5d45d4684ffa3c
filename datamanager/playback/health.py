"""Whether each server behind us answers, within a time limit."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from datamanager.clock import Clock
from datamanager.errors import DatamanagerError

__all__ = ["Dependency", "HealthChecks", "Readiness"]

LIMIT_S = 2.0


class Dependency(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of one server behind us."""

    ok: bool
    latency_ms: float
    error: str | None = None


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether all of them answer, and each by itself."""

    ready: bool
    dependencies: dict[str, Dependency]


class HealthChecks:
    """Asks the servers behind us.

    Args:
        pings: by name, what returns when that server answers and raises when it does not.
        clock: measures.
        limit_s: one that has not answered by then is away.
    """

    def __init__(
        self, pings: Mapping[str, Callable[[], Awaitable[None]]], clock: Clock, *, limit_s: float = LIMIT_S
    ) -> None:
        self._pings = pings
        self._clock = clock
        self._limit_s = limit_s

    async def check(self) -> Readiness:
        """Asks all of them at once; takes `limit_s` at most."""
        states = await asyncio.gather(*(self._ask(ping) for ping in self._pings.values()))
        return Readiness(
            ready=all(state.ok for state in states), dependencies=dict(zip(self._pings, states, strict=True))
        )

    async def _ask(self, ping: Callable[[], Awaitable[None]]) -> Dependency:
        began_s = self._clock.monotonic_s()
        error = None
        try:
            async with asyncio.timeout(self._limit_s):
                await ping()
        except TimeoutError:
            error = f"no answer within {self._limit_s:g} s"
        except DatamanagerError as exc:
            error = exc.detail
        latency_ms = round((self._clock.monotonic_s() - began_s) * 1000, 3)
        return Dependency(ok=error is None, latency_ms=latency_ms, error=error)
