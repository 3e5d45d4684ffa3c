"""What is unpacked while it is sent: checked before the last of it goes, and cut off where it is wrong."""

import asyncio
import os
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import httpx
import pytest
from support.archive_samples import PACKERS, zip_with
from support.browse_server import open_recorder

from datamanager.config import Config
from datamanager.errors import Refused, Unavailable
from datamanager.kinds.archives.member import Member
from datamanager.kinds.archives.unpacking import RatioUnpacker
from datamanager.kinds.zip.content import MemberUnpacker
from datamanager.playback import unpacked as module
from datamanager.playback.unpacked import HeavyWork, cut_out, spread, unpacked

DATA = os.urandom(1_500_000)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def cut(data: bytes, size: int) -> Sequence[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("size", [50_000, 10**9])
async def test_streams_are_unpacked_in_pieces(packing: str, size: int) -> None:
    data = DATA + bytes(1_500_000)
    got = [part async for part in unpacked(pieces(*cut(PACKERS[packing](data), size)), RatioUnpacker(packing, 250))]
    assert b"".join(got) == data
    assert len(got) > 1


async def gathered(parts: AsyncIterator[bytes], got: list[bytes]) -> None:
    async for part in parts:
        got.append(part)  # noqa: PERF401  # what came before an error counts


async def test_with_a_wrong_crc_the_last_piece_is_not_given() -> None:
    member = Member("a", len(DATA), "file", packed=len(DATA), crc=zlib.crc32(DATA))
    good: list[bytes] = []
    await gathered(unpacked(pieces(*cut(DATA, 500_000)), MemberUnpacker(member)), good)
    assert b"".join(good) == DATA
    bad: list[bytes] = []
    with pytest.raises(Refused, match="CRC"):
        await gathered(unpacked(pieces(*cut(DATA, 500_000)), MemberUnpacker(replace(member, crc=1))), bad)
    assert b"".join(bad) == DATA[:-500_000]


async def test_a_member_with_a_wrong_crc_is_broken_off_or_refused(server: str, server_config: Config) -> None:
    """Not every member can be unpacked as it comes in; each is held to its CRC when it is read."""
    async with (
        open_recorder(server_config) as recorder,
        httpx.AsyncClient(base_url=f"{server}/api/v1", trust_env=False, timeout=20) as http,
    ):
        await recorder.session("unpacked", "lying", {"zip": "zip"})
        contents = [
            (i, zip_with(data, local={"crc": 1}, central={"crc": 1})) for i, data in enumerate([DATA * 3, b"x"])
        ]
        large, small = await recorder.records("unpacked", "lying", "zip", contents, kind="zip")
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(f"/records/{large}/members/a.txt")
        refused = await http.get(f"/records/{small}/members/a.txt")
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_payload")
        assert "CRC" in refused.json()["detail"]


async def test_a_part_is_cut_out_of_what_comes() -> None:
    for size in (1, 3, 10):
        got = [part async for part in cut_out(pieces(*cut(b"0123456789", size)), 3, 4)]
        assert b"".join(got) == b"3456"
    assert [part async for part in cut_out(pieces(b"012"), 1, 0)] == []
    with pytest.raises(Refused, match="2 bytes are missing"):
        [part async for part in cut_out(pieces(b"01", b"234"), 3, 4)]


async def test_sparse_files_are_laid_out() -> None:
    got = [part async for part in spread(pieces(b"ab", b"cd"), [(2, 3), (7, 1)], 10, zeros=b"\0" * 4)]
    assert b"".join(got) == b"\0\0abc\0\0d\0\0"
    with pytest.raises(Refused, match="fewer bytes"):
        [part async for part in spread(pieces(b"ab"), [(0, 3)], 3)]


async def test_heavy_work_waits_for_room_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAIT_S", 0.05)
    heavy = HeavyWork(1)
    async with heavy.begun():
        with pytest.raises(Unavailable):
            async with heavy.begun():
                pytest.fail("there was no room")
    async with heavy.begun():
        waiting = asyncio.create_task(_take_part(heavy))
        await asyncio.sleep(0)
    await waiting


async def _take_part(heavy: HeavyWork) -> None:
    async with heavy.begun():
        return
