"""Examines content: small and harmless content at once, all else in a child process that it can't take us along from."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from importlib import import_module
from typing import ParamSpec, TypeVar

from datamanager.config import Config
from datamanager.errors import ProcessDied, Refused
from datamanager.kinds.kind import Found, Hints, Kind, KindLimits
from datamanager.kinds.source import BytesSource, Source
from datamanager.kinds.table import KIND_TABLE, examine_content
from datamanager.processes import ProcessPool

__all__ = ["Examiner", "open_examiner", "sha256_of"]

_LARGE = 1_000_000  # from here on hashing is worth a thread

P = ParamSpec("P")
T = TypeVar("T")


@asynccontextmanager
async def open_examiner(config: Config) -> AsyncIterator["Examiner"]:
    """An examiner as the settings have it; its child processes start when they are first needed."""
    limits = config.examine
    async with ProcessPool(
        limits.processes,
        timeout_s=limits.timeout_s,
        cpu_s=limits.cpu_s,
        memory_bytes=limits.memory_bytes,
        behind=False,
        eager=False,
    ) as pool:
        yield Examiner(pool, KindLimits(**asdict(config.kinds)))


class Examiner:
    """Looks at content that nobody has vouched for.

    Args:
        pool: where it is looked at; with a limit on time and memory.
        limits: how much content may hold.
    """

    def __init__(self, pool: ProcessPool, limits: KindLimits) -> None:
        self._pool = pool
        self.limits = limits

    async def examine(self, kind: str, source: Source, hints: Hints) -> Found:
        """What content of a kind is.

        Raises:
            Refused: the content is bad; the detail begins with the kind.
        """
        try:
            if _is_harmless(KIND_TABLE[kind], source):
                return examine_content(kind, source, hints, self.limits)
            return await self.call(examine_content, kind, source, hints, self.limits)
        except Refused as refused:
            raise _of_kind(kind, refused) from None
        except (MemoryError, RecursionError) as exc:
            raise _of_kind(
                kind, Refused("too_large", "examining it took more memory than one record may take")
            ) from exc

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls an importable function in a child; for whatever else reads content.

        Raises:
            Refused: `unsafe_content` when it took too long or crashed; else what the function raised.
        """
        try:
            return await self._pool.run(function, *args, **kwargs)
        except ProcessDied as died:
            if died.by_limit:
                raise Refused("unsafe_content", f"it is built so that reading it does not end: {died.detail}") from died
        # Somebody else may have ended the process: only content that does it twice is to blame.
        try:
            return await self._pool.run(function, *args, **kwargs)
        except ProcessDied as died:
            raise Refused("unsafe_content", f"reading it ends the process: {died.detail}") from died


async def sha256_of(data: bytes) -> str:
    """SHA-256, in hex."""
    if len(data) < _LARGE:
        return hashlib.sha256(data).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()


def _of_kind(kind: str, refused: Refused) -> Refused:
    refused.kind = kind
    refused.detail = f"{kind}: {refused.detail}"
    return refused


def _is_harmless(row: Kind, source: Source) -> bool:
    if row.here_bytes is not None:
        return source.size <= row.here_bytes and isinstance(source, BytesSource)
    if not isinstance(source, BytesSource):
        return False
    is_costly: Callable[[bytes], bool] = import_module(f"datamanager.kinds.{row.name}").is_costly
    return not is_costly(source.data)
