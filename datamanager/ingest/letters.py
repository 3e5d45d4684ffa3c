"""Refused messages on their way to the dead letters: gathered, bounded, and durable before the ack that covers them."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from datamanager.clock import Clock
from datamanager.errors import DatamanagerError
from datamanager.observability import get_logger
from datamanager.storage.dead_letters import DeadLetters
from datamanager.storage.mongo import Binary

__all__ = ["LetterBox"]

_log = get_logger(__name__)
_GROUP = 200


class LetterBox:
    """Writes dead letters. Run `run` as a task."""

    def __init__(self, letters: DeadLetters, clock: Clock, max_bytes: int) -> None:
        self._letters = letters
        self._clock = clock
        self._max_bytes = max_bytes
        self._queue: deque[tuple[dict[str, Any], Callable[[], None]]] = deque()
        self._wake = asyncio.Event()

    def put(self, letter: dict[str, Any], raw: bytes, written: Callable[[], None]) -> None:
        """Queues a letter with the message's bytes, cut to what is kept; `written` is called once it is durable."""
        letter |= {
            "data": Binary(raw[: self._max_bytes]),
            "size_bytes": len(raw),
            "truncated": len(raw) > self._max_bytes,
        }
        self._queue.append((letter, written))
        self._wake.set()

    async def run(self) -> None:
        """Writes letters until cancelled."""
        while True:
            while not self._queue:
                self._wake.clear()
                await self._wake.wait()
            group = [self._queue.popleft() for _ in range(min(len(self._queue), _GROUP))]
            await self._write([letter for letter, _ in group])
            for _, written in group:
                written()

    async def _write(self, letters: list[dict[str, Any]]) -> None:
        pause_s = 0.05
        while True:
            try:
                await self._letters.insert(letters)
            except DatamanagerError as error:
                _log.warning("dead letters are written again", error=error.detail[:200])
                await self._clock.sleep(pause_s)
                pause_s = min(pause_s * 2, 1.0)
            else:
                return
