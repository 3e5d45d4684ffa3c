"""Bytes that go straight to S3 become one record, exactly as they are; or none, and it is said why."""

import hashlib
import os

from support.uploading import T0, RawUploader

MB = 1024 * 1024


def test_bytes_put_at_once_become_a_record(server: str) -> None:
    robot = RawUploader(server, "once")
    data = os.urandom(100_000)
    item = robot.upload(data, name="noise.bin", metadata={"of": "a test"})
    assert item["status"] == "done"
    [record] = robot.records()
    assert (record["record_id"], record["t_ns"], record["size_bytes"]) == (item["record_id"], str(T0), len(data))
    assert record["metadata"]["of"] == "a test"
    assert robot.content(record["record_id"]) == data
    whole = robot.http.get(f"/records/{record['record_id']}").json()
    assert whole["checksum"] == hashlib.sha256(data).hexdigest()
