"""Members of zip and tar records over a real server: listed, and one at a time without unpacking the rest."""

import os
import tarfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.archive_samples import PACKERS, tar_of, tar_with, zip_of, zip_with
from support.processes import served
from support.raw_robot import RawRobot

from datamanager.config import Config

LARGE = os.urandom(700_000) + b"text " * 300_000  # 2.2 MB: more than a batch
MEMBERS = {
    "./folder/": b"",
    "./folder/a b?ü%2F.txt": b"first\n" * 100,
    "./folder/large.bin": LARGE,
    "empty": b"",
    "late.txt": b"the last",
}
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
ARCHIVES = {f"zip-{method}": ("zip", zip_of(MEMBERS, method)) for method in METHODS}
ARCHIVES |= {f"tar-{packing}": ("tar", pack(tar_of(MEMBERS))) for packing, pack in PACKERS.items()}
ARCHIVES["tar-gnu"] = ("tar", tar_of(MEMBERS, tarfile.GNU_FORMAT))


@pytest.fixture(scope="module")
async def http(server: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{server}/api/v1", trust_env=False, timeout=20) as client:
        yield client


async def sent(server: str, http: httpx.AsyncClient, session: str, archives: dict[str, Any]) -> dict[str, Any]:
    """Sends archives, each to a stream of its own; the records that they became, or the rejects."""
    async with RawRobot(server, session, robot="archives") as robot:
        await robot.hello()
        for stream, (kind, data) in archives.items():
            await robot.send(1, {"data": data, "name": stream}, data_type=kind, stream=stream)
        await robot.until(lambda: len(robot.acked) == len(archives))
        rejects = {reject["stream"]: reject for reject in robot.rejects}
    items = (await http.get(f"/sessions/archives/{session}/records?limit=1000")).json()["items"]
    return rejects | {item["stream"]: item for item in items}


@pytest.fixture(scope="module")
async def records(server: str, http: httpx.AsyncClient) -> dict[str, Any]:
    return await sent(server, http, "good", ARCHIVES)


def path_of(record: dict[str, Any], name: str) -> str:
    return f"/records/{record['record_id']}/members/" + "".join(f"%{byte:02x}" for byte in name.encode())


async def listed(http: httpx.AsyncClient, record: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = (await http.get(f"/records/{record['record_id']}/members", params=params)).json()
        found += page["items"]
        if page["next_cursor"] is None:
            assert page["complete"]
            return found
        params["cursor"] = page["next_cursor"]


@pytest.mark.parametrize("archive", ARCHIVES)
async def test_members_are_listed_in_pages(http: httpx.AsyncClient, records: dict[str, Any], archive: str) -> None:
    record = records[archive]
    assert (record["kind"], record["metadata"]["member_count"]) == (ARCHIVES[archive][0], len(MEMBERS))
    for limit in (1, 2, 100):
        found = await listed(http, record, limit=limit)
        assert {item["name"]: item["size_bytes"] for item in found} == {n: len(d) for n, d in MEMBERS.items()}
    assert found[0]["type"] == "directory"
    assert found[-1]["modified"].startswith("2024-02-03T0")


@pytest.mark.parametrize("archive", ARCHIVES)
async def test_a_member_comes_back_alone(http: httpx.AsyncClient, records: dict[str, Any], archive: str) -> None:
    for name, data in MEMBERS.items():
        answer = await http.get(path_of(records[archive], name))
        if name.endswith("/"):
            assert (answer.status_code, answer.json()["code"]) == (400, "wrong_type")
            continue
        assert answer.status_code == 200, answer.text
        assert answer.content == data
        assert int(answer.headers["content-length"]) == len(data)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-disposition"].startswith("attachment")
        again = await http.get(path_of(records[archive], name), headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
    short = await http.get(path_of(records[archive], "folder/large.bin"))
    assert short.content == LARGE
    for missing in ("nothing", "folder", "../late.txt"):
        assert (await http.get(path_of(records[archive], missing))).status_code in {400, 404}


@pytest.mark.parametrize(("archive", "is_ranged"), [("zip-0", True), ("tar-gnu", True), ("zip-8", False), ("tar-gz", False)])  # fmt: skip
async def test_ranges_are_given_of_what_is_not_packed(
    http: httpx.AsyncClient, records: dict[str, Any], archive: str, *, is_ranged: bool
) -> None:
    part = await http.get(path_of(records[archive], "./folder/large.bin"), headers={"range": "bytes=1000-1999"})
    assert part.status_code == (206 if is_ranged else 200)
    assert part.content == (LARGE[1000:2000] if is_ranged else LARGE)


def sparse() -> bytes:
    """GNU's old form: 4 bytes at 1000, 3 at 2,500,000, of 3,000,000."""
    runs = [(1000, 4), (2_500_000, 3)]
    table = b"".join(b"%011o\0%011o\0" % run for run in runs).ljust(96, b"\0")
    tail = bytes(41) + table + b"\0" + b"%011o\0" % 3_000_000
    return tar_with(b"sparse", b"abcdxyz", type=b"S", magic=b"ustar  \0", tail=tail)


async def test_sparse_members_links_and_other_methods(server: str, http: httpx.AsyncClient) -> None:
    links = tar_with(b"f", b"file", end=False) + tar_with(b"h", b"", type=b"1", link=b"./f", end=False)
    links += tar_with(b"l", b"", type=b"2", link=b"f")
    other = zip_with(local={"method": 9}, central={"method": 9})
    sample = {"s": ("tar", sparse()), "z": ("tar", PACKERS["zst"](sparse())), "l": ("tar", links), "o": ("zip", other)}
    found = await sent(server, http, "odd", sample)
    want = bytes(1000) + b"abcd" + bytes(2_500_000 - 1004) + b"xyz" + bytes(500_000 - 3)
    for stream in "sz":
        assert (await http.get(path_of(found[stream], "sparse"))).content == want
    assert (await http.get(path_of(found["l"], "h"))).content == b"file"
    assert "link to 'f'" in (await http.get(path_of(found["l"], "l"))).json()["detail"]
    assert "method 9" in (await http.get(path_of(found["o"], "a.txt"))).json()["detail"]


async def test_hostile_archives_are_refused_and_their_neighbours_kept(server: str, http: httpx.AsyncClient) -> None:
    sample = {
        "good": ("zip", zip_of({"a": b"b"})),
        "up": ("zip", zip_with(name=b"../evil")),
        "twice": ("tar", tar_with(end=False) + tar_with()),
        "device": ("tar", tar_with(type=b"3")),
        "encrypted": ("zip", zip_with(central={"flags": 1})),
        "bomb": ("tar", PACKERS["gz"](tar_of({"z": bytes(40_000_000)}))),
        "crc": ("zip", zip_with(local={"crc": 1}, central={"crc": 1})),
        "jpeg": ("zip", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(30)),
        "zip": ("tar", zip_of({"a": b"b" * 600})),
        "also good": ("tar", tar_with()),
    }
    found = await sent(server, http, "bad", {name.replace(" ", "-"): each for name, each in sample.items()})
    codes = {stream: item.get("code") for stream, item in found.items()}
    assert codes == {
        "good": None, "also-good": None, "up": "unsafe_content", "twice": "unsafe_content", "device": "unsafe_content",
        "encrypted": "unsafe_content", "bomb": "unsafe_content", "crc": "bad_payload", "jpeg": "kind_mismatch", "zip": "kind_mismatch",
    }  # fmt: skip
    for stream, item in found.items():
        if item.get("code"):
            assert item["detail"].startswith(f"{sample[stream][0]}: ")
            assert "(at byte " in item["detail"]


async def test_members_of_large_zips_are_found_though_none_are_kept(server: str, http: httpx.AsyncClient) -> None:
    many = zip_of({f"{i}.txt": b"%d" % i for i in range(20_001)}, zipfile.ZIP_STORED)
    record = (await sent(server, http, "many", {"many": ("zip", many)}))["many"]
    first = (await http.get(f"/records/{record['record_id']}/members?limit=3")).json()
    assert [item["name"] for item in first["items"]] == ["0.txt", "1.txt", "2.txt"]
    params = {"limit": 2, "cursor": first["next_cursor"]}
    second = (await http.get(f"/records/{record['record_id']}/members", params=params)).json()
    assert [item["name"] for item in second["items"]] == ["3.txt", "4.txt"]
    for _ in range(2):
        assert (await http.get(path_of(record, "20000.txt"))).content == b"20000"
    assert (await http.get(path_of(record, "20001.txt"))).status_code == 404


async def test_members_beyond_those_listed_are_found(
    records: dict[str, Any], server_config: Config, tmp_path: Path
) -> None:
    with served(server_config, log=tmp_path / "serve.log", DATAMANAGER_ARCHIVE_MAX_MEMBERS="2") as url:
        async with httpx.AsyncClient(base_url=f"{url}/api/v1", trust_env=False, timeout=20) as few:
            for packing in PACKERS:
                record = records[f"tar-{packing}"]
                page = (await few.get(f"/records/{record['record_id']}/members")).json()
                assert (len(page["items"]), page["next_cursor"], page["complete"]) == (2, None, False)
                assert (await few.get(path_of(record, "late.txt"))).content == b"the last"
                assert (await few.get(path_of(record, "later.txt"))).status_code == 404


async def test_what_is_not_there_is_said(http: httpx.AsyncClient, records: dict[str, Any]) -> None:
    base = f"/records/{records['tar-gnu']['record_id']}/members"
    assert (await http.get("/records/none/members")).status_code == 404
    assert (await http.get("/records/none/members/x")).status_code == 404
    assert (await http.get(f"{base}?cursor=x")).json()["code"] == "malformed"
    assert (await http.get(f"{base}?limit=x")).json()["code"] == "wrong_type"
    assert (await http.get(f"{base}?cursor=kQU")).status_code == 400  # byte 5: no header begins there
    assert (await http.get(f"/records/{records['tar-gnu']['record_id']}/tensors")).json()["code"] == "kind_mismatch"
