"""A stream may reach as far as int64 does: what is asked around it must not reach further."""

from datamanager.config import Config
from datamanager.storage.lod import LEVELS_NS, Lod
from datamanager.storage.migrations import apply_migrations
from datamanager.storage.mongo import open_mongo
from datamanager.storage.telemetry import Telemetry

END_NS = 2**63


async def test_a_range_that_begins_before_1970_by_a_stream_s_reach_is_asked_for_from_1970_on(config: Config) -> None:
    async with open_mongo(config.mongo) as mongo:
        await apply_migrations(mongo)
        place = ("r", "s", "x")
        assert await Telemetry(mongo).statistics(*place, start_ns=-END_NS, end_ns=END_NS, packed=False) == []
        assert await Telemetry(mongo).blocks(*place, start_ns=-END_NS, end_ns=END_NS, reaching_ns=0) == []
        for level_ns in LEVELS_NS:
            assert await Lod(mongo).between(*place, level_ns, -END_NS, END_NS) == []
