"""Keeps a group of children alive for as long as a block of code runs."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from datamanager.local.child import Child, ChildSpec
from datamanager.local.output import Report

__all__ = ["supervised"]


@asynccontextmanager
async def supervised(specs: Iterable[ChildSpec], *, logs: Path, report: Report) -> AsyncIterator[list[Child]]:
    """Starts the children side by side, yields when all of them answer, and stops them side by side at the end.

    Cancelling stops them first; cancelling again, while they are being stopped, kills them.

    Raises:
        LocalServerError: one of them does not come up; the others have been stopped again.
        OSError: the log files cannot be written.
    """
    children = [Child(spec, logs=logs, report=report) for spec in specs]
    try:
        await asyncio.gather(*(child.start() for child in children))
        yield children
    finally:
        await asyncio.gather(*(child.stop() for child in children))
