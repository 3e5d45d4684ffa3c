"""What is uploaded becomes the very record that a message with the same bytes makes, of every kind."""

from pathlib import Path
from typing import Any

import msgpack
import pytest
from support.uploading import T0, RawUploader

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
OURS = {"expected.json"}
FILES = sorted(
    path
    for path in GOLDEN.glob("*/*")
    if path.is_file() and path.name not in OURS and path.stat().st_size and not path.name.endswith(".py")
    if path.parent.name != "time_series"  # samples are no record; tests/kinds/test_five_ways.py uploads some
)
MOST = 4  # of one kind: what a kind makes of its files is shown elsewhere
FIELDS = {"chunk.pcm": {"format": "pcm_s16le", "sample_rate": 16_000, "channels": 1}}
SAME = ("kind", "t_ns", "size_bytes", "checksum", "mime_type", "name", "metadata")


def sent(robot: RawUploader, kind: str, files: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """What the server makes of files in messages: by name the record, or the reject."""
    names = list(files)
    body = b"".join(
        msgpack.packb(
            {
                "robot_id": robot.robot,
                "session_id": robot.session,
                "producer": "p",
                "seq": 0,
                "data_type": kind,
                "stream": f"sent/{n}",
                "t_ns": T0,
                "payload": {"data": files[name], "name": name} | FIELDS.get(name, {}),
            }
        )
        for n, name in enumerate(names)
    )
    answer = robot.http.post("/ingest", content=body, headers={"content-type": "application/msgpack"}).json()
    rejects = {names[int(r["stream"].rpartition("/")[2])]: r for r in answer["rejects"]}
    records = {names[int(r["stream"].rpartition("/")[2])]: r for r in robot.records()}
    return rejects | records


@pytest.mark.parametrize("kind", sorted({path.parent.name for path in FILES}))
def test_an_upload_is_what_a_message_is(server: str, kind: str) -> None:
    robot = RawUploader(server, f"golden-{kind}", robot="golden")
    mine = [path for path in FILES if path.parent.name == kind]
    files = {path.name: path.read_bytes() for path in mine[:: -(-len(mine) // MOST)]}
    expected = sent(robot, kind, files)
    assert expected.keys() == files.keys()
    taken = 0
    for n, (name, data) in enumerate(files.items()):
        item = robot.begin(data, kind=kind, stream=f"up/{n}", name=name, payload=FIELDS.get(name, {}))
        robot.put(item, data)
        done = robot.complete(item["upload_id"])
        if "code" in expected[name]:
            assert (done.status_code, done.json()["code"]) == (400, expected[name]["code"]), name
            continue
        taken += 1
        assert done.status_code == 200, (name, done.text)
        record = robot.http.get(f"/records/{done.json()['record_id']}").json()
        assert {f: record.get(f) for f in SAME} == {f: expected[name].get(f) for f in SAME}, name
        assert robot.content(record["record_id"]) == data
    assert taken
