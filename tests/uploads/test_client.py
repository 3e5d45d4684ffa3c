"""A file on disk becomes a record, whatever happens to the connections and to the process meanwhile."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.cutter import cutting
from support.processes import served
from support.uploading import RawUploader

from datamanager.client import AsyncRobot, ClientSettings, Robot, Uploader, UploadFailed
from datamanager.config import Config
from datamanager.local.ports import HeldPorts

MB = 1024 * 1024
FAST = ClientSettings(backoff_min_s=0.02, backoff_max_s=0.2, ack_timeout_s=20)


class Broken(Exception):  # the process, as it were
    pass


def made(folder: Path, size: int, name: str = "big.bin") -> Path:
    path = folder / name
    path.write_bytes(os.urandom(size))
    return path


async def test_a_file_is_uploaded_with_its_progress(upload_server: str, tmp_path: Path) -> None:
    path = made(tmp_path, 12 * MB, "lidar scan.bin")
    told: list[tuple[int, int]] = []
    async with AsyncRobot(upload_server, "client", "whole") as robot:
        done = await robot.upload(path, progress=lambda sent, size: told.append((sent, size)))
    assert (done.kind, done.stream, done.known) == ("file", "lidar_scan", False)
    assert done.checksum == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told[-1] == (12 * MB, 12 * MB)
    assert [sent for sent, _ in told] == sorted(sent for sent, _ in told)
    seen = RawUploader(upload_server, "whole", robot="client")
    [record] = seen.records()
    assert record["record_id"] == done.record_id
    assert seen.content(record["record_id"]) == path.read_bytes()


async def test_who_breaks_off_goes_on_where_that_was(upload_server: str, tmp_path: Path) -> None:
    path = made(tmp_path, 22 * MB)

    def stop(sent: int, _: int) -> None:
        if sent > 20 * MB:  # five parts, four at once: one at least is there
            raise Broken

    async with Uploader(upload_server, settings=FAST) as uploader:
        with pytest.raises(Broken):
            await uploader.upload("client", "resumed", path, progress=stop)
    told: list[int] = []
    async with Uploader(upload_server, settings=FAST) as uploader:  # the next process
        done = await uploader.upload("client", "resumed", path, progress=lambda sent, _: told.append(sent))
        assert told[0] >= 5 * MB  # what S3 has is not sent again
        again = await uploader.upload("client", "resumed", path)
    assert (again.known, again.record_id) == (True, done.record_id)
    assert len(RawUploader(upload_server, "resumed", robot="client").records()) == 1


async def test_two_processes_that_send_the_same_file_make_one_record(upload_server: str, tmp_path: Path) -> None:
    path = made(tmp_path, 12 * MB)

    async def send() -> str | None:
        async with Uploader(upload_server, settings=FAST) as uploader:
            return (await uploader.upload("client", "both", path)).record_id

    assert len(set(await asyncio.gather(*(send() for _ in range(4))))) == 1
    assert len(RawUploader(upload_server, "both", robot="client").records()) == 1


def test_a_program_without_an_event_loop_uploads_too(upload_server: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text('{"a": 1}')
    with Robot(upload_server, "client", "blocking") as robot:
        done = robot.upload(path, kind="file", stream="notes", t=1_700_000_000.5, metadata={"by": "hand"})
    assert (done.t_ns, done.stream) == (1_700_000_000_500_000_000, "notes")
    [record] = RawUploader(upload_server, "blocking", robot="client").records()
    assert record["metadata"]["by"] == "hand"


async def test_what_is_refused_says_why(upload_server: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    async with Uploader(upload_server, settings=FAST) as uploader:
        with pytest.raises(UploadFailed) as refused:
            await uploader.upload("client", "refused", path)
        assert refused.value.code == "bad_payload"
        with pytest.raises(UploadFailed) as unknown:
            await uploader.upload("client", "refused", path, stream="x", t=0, kind="time_series")
        assert unknown.value.code == "malformed"
        with pytest.raises(OSError, match="none"):
            await uploader.upload("client", "refused", tmp_path / "none")


async def test_a_connection_to_s3_that_breaks_again_and_again_only_delays(
    new_config: Callable[[], Config], tmp_path: Path
) -> None:
    config = new_config()
    s3_port = urlsplit(config.s3.endpoint).port
    assert s3_port is not None
    path = made(tmp_path, 30 * MB)
    with HeldPorts() as held:
        port = held.choose()
        config = replace(
            config,
            s3=replace(config.s3, public_endpoint=f"http://127.0.0.1:{port}"),
            uploads=replace(config.uploads, part_bytes=5 * MB),
        )
        async with cutting(port, s3_port, seed=1, every_s=0.05) as cutter:
            with served(config, log=tmp_path / "serve.log") as url:
                cutter.may_cut.set()
                async with Uploader(url, settings=FAST) as uploader:
                    done = await asyncio.wait_for(uploader.upload("client", "cut", path), 60)
                assert cutter.cuts > 0
                whole = RawUploader(url, "cut", robot="client").http.get(f"/records/{done.record_id}").json()
    assert whole["checksum"] == hashlib.sha256(path.read_bytes()).hexdigest()
