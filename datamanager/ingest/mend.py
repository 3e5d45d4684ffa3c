"""Makes again the statistics of blocks whose writer died between the block and its statistics."""

from datamanager.ingest.session import SessionState
from datamanager.observability import get_logger
from datamanager.storage.blocks import SYSTEM_COLUMNS, decode_batch
from datamanager.storage.statistics import pack_columns
from datamanager.storage.telemetry import BlockHeader, Telemetry, statistics_document_of

__all__ = ["mend_statistics"]

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
            made.append(statistics_document_of(block, pack_columns(batch.columns[SYSTEM_COLUMNS:])))
    if made:
        _log.info("statistics made again after a crash", session=session.id, blocks=len(made))
        await session.floor.stand()
        with session.floor.held() as generation:  # that of the block may be rolled up already
            for document in made:
                document["m"] = document["m"] | {"generation": max(document["m"]["generation"], generation)}
            await telemetry.insert_statistics_documents(made)
