"""Writes what sessions span and what producers have durable: the last step before an ack."""

import asyncio
import random
from collections.abc import Sequence
from typing import Protocol

from datamanager.storage.ledgers import LedgerChange, Ledgers
from datamanager.storage.sessions import Sessions

__all__ = ["LedgerKeeper", "keep_ledgers"]

_MAX_PAUSE_S = 0.05


class LedgerKeeper(Protocol):
    """A producer, as far as its ledger goes.

    Attributes:
        keeping: to be held while its ledger is written.
    """

    keeping: asyncio.Lock

    @property
    def id(self) -> str:
        """Its name, which is its ledger's `_id`."""

    def ledger_change(self) -> LedgerChange:
        """The ledger as it is to be."""

    def ledger_kept(self, change: LedgerChange) -> None:
        """The ledger is so."""

    def span(self) -> tuple[str, int, int, bool] | None:
        """What its session spans, when that is not known to be in the database."""

    def span_kept(self, span: tuple[str, int, int, bool]) -> None:
        """The span is in the database."""

    async def reconcile(self) -> None:
        """Somebody else has claimed the ledger: learns what they wrote."""


async def keep_ledgers(sessions: Sessions, ledgers: Ledgers, keepers: Sequence[LedgerKeeper]) -> None:
    """Writes the spans and ledgers of producers, journaled; may be repeated.

    Raises:
        MongoUnavailable: it is not known what was written.
    """
    while keepers:
        spans = {id(k): span for k in keepers if (span := k.span()) is not None}
        changes = {k.id: k.ledger_change() for k in keepers}
        _, taken = await asyncio.gather(sessions.widen(set(spans.values())), ledgers.put(list(changes.values())))
        for keeper in keepers:
            if id(keeper) in spans:
                keeper.span_kept(spans[id(keeper)])
            if keeper.id not in taken:
                keeper.ledger_kept(changes[keeper.id])
        keepers = [k for k in keepers if k.id in taken]
        for keeper in keepers:
            await keeper.reconcile()
        if keepers:
            await asyncio.sleep(random.uniform(0, _MAX_PAUSE_S))  # noqa: S311  # only to part two processes
