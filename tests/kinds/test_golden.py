"""Every kind has golden files; those of `time_series` and `file` are read back as they were when they were made."""

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import msgpack
import pyarrow as pa
import pytest
from support.raw_robot import RawRobot

from datamanager.kinds.names import KINDS

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
T0 = 1_700_000_000_000_000_000


def expected(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / kind / "expected.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_golden_files_and_what_is_expected_of_each(kind: str) -> None:
    files = {path.name for path in (GOLDEN / kind).iterdir()} - {"expected.json"}
    assert files
    said = json.dumps(expected(kind))
    assert [name for name in sorted(files) if name not in said] == []


async def test_samples_come_back_as_they_did(server: str) -> None:
    nested = (GOLDEN / "time_series" / "nested.ndjson").read_text(encoding="utf-8").splitlines()
    columnar = msgpack.unpackb((GOLDEN / "time_series" / "columnar.msgpack").read_bytes())
    async with RawRobot(server, "golden", robot="golden") as robot:
        await robot.hello()
        for seq, line in enumerate(nested):
            await robot.put({"data_type": "time_series", "stream": "nested", "seq": seq} | json.loads(line), text=True)
        await robot.put({"data_type": "time_series", "stream": "columnar", "seq": 0, "payload": columnar})
        await robot.until(lambda: robot.acked == {"nested": 2, "columnar": 0})
        assert robot.rejects == []
    async with httpx.AsyncClient(base_url=f"{server}/api/v1/sessions/golden/golden", trust_env=False) as http:
        for name, file in (("nested", "nested.ndjson"), ("columnar", "columnar.msgpack")):
            found = (await http.get("/range", params={"stream": name})).json()
            assert found == expected("time_series")[file]
            arrow = (await http.get("/range", params={"stream": name, "format": "arrow"})).content
            schema = pa.ipc.open_stream(arrow).read_all().schema
            assert {field.name: str(field.type) for field in schema} == expected("time_series")[f"{file} as arrow"]


async def test_files_come_back_as_they_did(server: str) -> None:
    async with RawRobot(server, "files", robot="golden") as robot:
        await robot.hello()
        wanted = expected("file")
        for seq, name in enumerate(sorted(wanted)):
            payload = {"data": (GOLDEN / "file" / name).read_bytes(), "name": name}
            await robot.put({"data_type": "file", "stream": "f", "seq": seq, "t_ns": T0 + seq, "payload": payload})
        await robot.until(lambda: robot.acked.get("f") == len(wanted) - 1)
    async with httpx.AsyncClient(base_url=f"{server}/api/v1", trust_env=False) as http:
        items = (await http.get("/sessions/golden/files/records")).json()["items"]
        found = {i["name"]: {n: i[n] for n in ("mime_type", "size_bytes", "checksum", "metadata")} for i in items}
        assert found == wanted
        for item in items:
            content = (await http.get(f"/records/{item['record_id']}/content")).content
            assert hashlib.sha256(content).hexdigest() == item["checksum"]
