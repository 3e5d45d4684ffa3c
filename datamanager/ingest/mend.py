"""Makes again the statistics of blocks whose writer died between the block and its statistics."""

import numpy as np
import pyarrow as pa

from datamanager.ingest.session import SessionState
from datamanager.observability import get_logger
from datamanager.storage.blocks import SYSTEM_COLUMNS, decode_batch
from datamanager.storage.statistics import dense, is_numeric, pack
from datamanager.storage.telemetry import BlockHeader, Telemetry, statistics_document_of

__all__ = ["mend_statistics", "pack_batch"]

_log = get_logger(__name__)


async def mend_statistics(
    telemetry: Telemetry, session: SessionState, headers: list[BlockHeader], producer: str, since_generation: int
) -> None:
    """Writes the statistics that `headers` lack.

    Args:
        telemetry: the collections.
        session: whose blocks they are.
        headers: all blocks of the producer that were written in `since_generation` or later.
        producer: who wrote them.
        since_generation: as above.
    """
    if not headers:
        return
    have = await telemetry.statistics_ids(
        session.robot_id, session.session_id, since_generation=since_generation, producer=producer
    )
    lacking = [h for h in headers if h.id not in have]
    made = []
    for header in lacking:
        block = await telemetry.block_of(header, session.robot_id, session.session_id)
        if block is not None:
            batch = decode_batch(block["data"], session.schema(header.stream, header.schema))
            made.append(statistics_document_of(block, pack_batch(batch)))
    if made:
        _log.info("statistics made again after a crash", session=session.id, blocks=len(made))
        await telemetry.insert_statistics_documents(made)


def pack_batch(batch: pa.RecordBatch) -> bytes:
    """The packed statistics of a stored block; empty when it has no numeric channel."""
    columns = [dense(c) for c in batch.columns[SYSTEM_COLUMNS:] if is_numeric(c.type)]
    return pack(np.stack(columns)) if columns else b""
