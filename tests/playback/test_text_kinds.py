"""Markdown, tables, parameters and logs, from a robot to a reader."""

import asyncio
import hashlib
from typing import Any

import httpx
import pytest
from support.raw_robot import T0, RawRobot, read_range

NOTE = "# Grüße\n\n<script>alert(1)</script> [x](javascript:alert(1)) *fine*\n"


async def sent(server: str, session: str, messages: list[dict[str, Any]]) -> RawRobot:
    """Sends messages as a robot of their session, and waits until all are durable or refused."""
    async with RawRobot(server, session, robot="texts") as robot:
        await robot.hello()
        last: dict[str, int] = {}
        for message in messages:
            stream = message.setdefault("stream", message["data_type"])
            last[stream] = message.setdefault("seq", last.get(stream, -1) + 1)
            await robot.put({"t_ns": T0 + last[stream]} | message)
        await robot.until(lambda: all(robot.acked.get(stream, -1) >= seq for stream, seq in last.items()))
    return robot


@pytest.fixture
async def api(server: str) -> Any:
    async with httpx.AsyncClient(base_url=f"{server}/api/v1", trust_env=False, timeout=30) as client:
        yield client


async def records(api: httpx.AsyncClient, session: str, **params: Any) -> list[dict[str, Any]]:
    answer = await api.get(f"/sessions/texts/{session}/records", params=params)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def content(api: httpx.AsyncClient, record: dict[str, Any]) -> bytes:
    answer = await api.get(f"/records/{record['record_id']}/content", follow_redirects=True)
    assert hashlib.sha256(answer.content).hexdigest() == record["checksum"]
    return answer.content


async def test_markdown_comes_back_as_it_was_and_as_a_safe_page(server: str, api: httpx.AsyncClient) -> None:
    long = NOTE + "word *a* [x](http://x.y)\n" * 40_000
    notes = [{"data_type": "markdown", "payload": {"data": text, "name": "n.md"}} for text in (NOTE, long)]
    await sent(server, "md", notes)
    small, large = await records(api, "md")
    assert (small["metadata"]["title"], small["mime_type"]) == ("Grüße", "text/markdown; charset=utf-8")
    assert [await content(api, small), await content(api, large)] == [NOTE.encode(), long.encode()]
    page = await api.get(f"/records/{small['record_id']}/html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert (page.headers["x-content-type-options"], page.headers["x-rendered"]) == ("nosniff", "true")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<em>fine</em>" in page.text
    assert "<script" not in page.text
    assert "href" not in page.text
    page = await api.get(f"/records/{large['record_id']}/html")
    assert (page.status_code, page.headers["x-rendered"]) == (200, "false")
    assert "&lt;script&gt;" in page.text


async def test_rows_of_a_table_are_read_page_by_page(server: str, api: httpx.AsyncClient) -> None:
    data = "n;größe;ok\r\n".encode("cp1252") + b"".join(b"%d;%d.5;true\r\n" % (i, i) for i in range(20_000))
    await sent(server, "csv", [{"data_type": "csv", "payload": {"data": data}}])
    [record] = await records(api, "csv")
    assert (record["metadata"]["rows"], record["metadata"]["encoding"]) == (20_000, "cp1252")
    assert await content(api, record) == data
    path, rows, cursor = f"/records/{record['record_id']}/rows", [], None
    while True:
        answer = await api.get(path, params={"limit": 1000} | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        assert answer.json()["offset"] == len(rows)
        rows += answer.json()["rows"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            break
    assert rows == [[i, i + 0.5, True] for i in range(20_000)]
    answer = await api.get(path, params={"offset": 19_999, "columns": "ok,n"})
    assert answer.json()["rows"] == [[True, 19_999]]
    assert answer.json()["columns"] == [{"name": "ok", "type": "bool"}, {"name": "n", "type": "int"}]


@pytest.mark.parametrize(
    ("params", "status"),
    [({"columns": "zz"}, 404), ({"limit": "x"}, 400), ({"offset": "-1"}, 400), ({"cursor": "abc"}, 400),
     ({"cursor": "ks8AAAABAAAAAADOAAAAAQ"}, 400)],
)  # fmt: skip
async def test_bad_asks_for_rows_are_problems(
    server: str, api: httpx.AsyncClient, params: dict[str, str], status: int
) -> None:
    session = f"ask-{next(iter(params))}-{status}"
    await sent(server, session, [{"data_type": "csv", "payload": {"data": "a,b\n1,2\n"}}])
    record = (await records(api, session))[0]
    answer = await api.get(f"/records/{record['record_id']}/rows", params=params)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_bad_content_is_refused_by_kind_and_place_and_its_neighbours_stay(
    server: str, api: httpx.AsyncClient
) -> None:
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
    bad = [("csv", png), ("markdown", png), ("csv", b""), ("markdown", b"ok \xff")]
    messages = [{"data_type": "csv", "stream": "good", "payload": {"data": "a,b\n1,2\n"}}]
    messages += [{"data_type": kind, "stream": f"bad/{kind}", "payload": {"data": data}} for kind, data in bad]
    robot = await sent(server, "bad", messages)
    told = [(r["code"], r["detail"]) for r in robot.rejects]
    assert [code for code, _ in told] == ["kind_mismatch", "kind_mismatch", "bad_payload", "bad_payload"]
    assert all(detail.startswith(f"{kind}: ") for (kind, _), (_, detail) in zip(bad, told, strict=True))
    assert "images" in told[0][1]
    assert "(at byte 3)" in told[3][1]
    assert len(await records(api, "bad")) == 1


async def test_parameters_are_told_as_they_were_at_any_time(server: str, api: httpx.AsyncClient) -> None:
    big = {"table": ["x" * 100] * 300}  # lies in S3
    patches: list[dict[str, Any]] = [
        {"values": {"arm": {"speed": 1, "tool": "saw"}, "old": 1}},
        {"values": {"arm": {"speed": 2.5, "tool": None}, "big": big}, "mode": "merge"},
        {"values": {"arm": {"speed": 3}}, "mode": "replace"},
        {"data": "arm:\n  gains: [1, 2]\n"},
    ]
    messages = [{"data_type": "parameters", "stream": "config", "payload": patch} for patch in patches]
    await sent(server, "par", [*messages, {"data_type": "log", "payload": {"message": "x"}}])
    path = "/sessions/texts/par/parameters"
    wanted = [
        (T0, {"arm": {"speed": 1, "tool": "saw"}, "old": 1}),
        (T0 + 1, {"arm": {"speed": 2.5}, "big": big, "old": 1}),
        (T0 + 2, {"arm": {"speed": 3}}),
        (T0 + 3, {"arm": {"gains": [1, 2], "speed": 3}}),
        (T0 + 999, {"arm": {"gains": [1, 2], "speed": 3}}),
    ]
    for t_ns, values in wanted:
        answer = await api.get(path, params={"t": t_ns, "stream": "config"})
        assert (answer.status_code, answer.json()["values"]) == (200, values)
    assert answer.json()["records"] == 2  # from the one that replaced all before it
    assert (await api.get(path)).json()["t_ns"] == str(T0 + 3)
    early = (await api.get(path, params={"t": T0 - 1})).json()
    assert (early["values"], early["t_ns"]) == ({}, None)
    changed = (await api.get(f"{path}/diff", params={"from": T0, "to": T0 + 1})).json()
    assert changed["added"] == {"big.table": big["table"]}
    assert changed["removed"] == {"arm.tool": "saw"}
    assert changed["changed"] == {"arm.speed": {"from": 1, "to": 2.5}}
    assert [k["key"] for k in (await records(api, "par", stream="config"))[0]["metadata"]["keys"]] == [
        "arm.speed", "arm.tool", "old",
    ]  # fmt: skip


async def test_parameters_of_two_sessions_are_compared(server: str, api: httpx.AsyncClient) -> None:
    for session, speed in (("par-a", 1), ("par-b", 2)):
        await sent(server, session, [{"data_type": "parameters", "payload": {"values": {"speed": speed, "same": 0}}}])
    answer = await api.get("/sessions/texts/par-a/parameters/diff", params={"session_id2": "par-b"})
    assert answer.json()["changed"] == {"speed": {"from": 1, "to": 2}}
    assert answer.json()["after"]["session_id"] == "par-b"


async def test_parameters_sent_at_one_time_count_in_the_order_of_their_numbers(
    server: str, api: httpx.AsyncClient
) -> None:
    one = [{"data_type": "parameters", "t_ns": T0, "payload": {"values": {"n": i}}} for i in range(300)]
    await sent(server, "par-one", one)
    assert (await api.get("/sessions/texts/par-one/parameters")).json()["values"] == {"n": 299}


@pytest.mark.parametrize(
    ("path", "status"),
    [("nobody/s/parameters", 404), ("texts/par-bad/parameters?stream=zz", 404), ("texts/par-bad/parameters?stream=log", 400),
     ("texts/par-bad/parameters", 400), ("texts/par-bad/parameters/diff", 400), ("texts/par-bad/parameters?t=x", 400)],
)  # fmt: skip
async def test_bad_asks_for_parameters_are_problems(
    server: str, api: httpx.AsyncClient, path: str, status: int
) -> None:
    await sent(server, "par-bad", [{"data_type": "log", "payload": {"message": "x"}, "redelivery": True}])
    answer = await api.get(f"/sessions/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def series_of(api: httpx.AsyncClient, session: str, stream: str = "csv") -> dict[str, Any]:
    """What is told of the stream of a table's rows, once all of them are in it."""
    [listed] = await records(api, session, stream=stream)
    async with asyncio.timeout(40):
        while True:
            record = (await api.get(f"/records/{listed['record_id']}")).json()
            if "series" in record["metadata"]:
                return dict(record["metadata"]["series"])
            await asyncio.sleep(0.05)  # the record has to be asked


def timed_table(rows: int) -> bytes:
    lines = [
        b"%d.%03d,%d,%s,abc\n" % (1_700_000_000 + i // 100, i % 100 * 10, i, b"" if i % 7 == 0 else b"1.5")
        for i in range(rows)
    ]
    return b"t,n,x,name\n" + b"".join(lines)


async def test_rows_with_a_time_column_become_a_stream(server: str, api: httpx.AsyncClient) -> None:
    message = {"data_type": "csv", "payload": {"data": timed_table(60_000), "time_column": "t"}}
    await sent(server, "series", [message])
    told = await series_of(api, "series")
    assert told == {"stream": "csv/rows", "state": "done", "rows": 60_000, "skipped": 0, "refused": 0}
    rows = await read_range(server, "series", "csv/rows", robot="texts")
    assert [row["n"] for row in rows] == list(range(60_000))
    assert [rows[7].get("x"), rows[8]["x"], rows[8]["name"]] == [None, 1.5, "abc"]
    assert int(rows[101]["t_ns"]) == 1_700_000_001_010_000_000
    await sent(server, "series", [message | {"redelivery": True}])  # again, and nothing is doubled
    await asyncio.sleep(1.2)  # whoever looks for tables has looked again
    assert len(await read_range(server, "series", "csv/rows", robot="texts")) == 60_000
    streams = (await api.get("/sessions/texts/series/streams")).json()["items"]
    assert {s["stream"]: s["kind"] for s in streams} == {"csv": "csv", "csv/rows": "time_series"}


async def test_a_session_that_has_ended_stays_so_while_rows_come_into_it(server: str, api: httpx.AsyncClient) -> None:
    async with RawRobot(server, "series-end", robot="texts") as robot:
        await robot.hello()
        payload = {"data": timed_table(20_000), "time_column": "t", "time_unit": "s"}
        await robot.put({"data_type": "csv", "seq": 0, "t_ns": T0, "payload": payload})
        await robot.put({"type": "bye"})
        assert await robot.closed() == 1000
    assert (await series_of(api, "series-end"))["rows"] == 20_000
    session = (await api.get("/sessions/texts/series-end")).json()
    assert session["status"] == "ended"


async def test_rows_that_cannot_be_samples_are_told_of(server: str, api: httpx.AsyncClient) -> None:
    deep = "/".join("abcdefgh")  # a stream can't have a ninth part
    await sent(
        server,
        "series-bad",
        [{"data_type": "csv", "stream": deep, "payload": {"data": timed_table(10), "time_column": "t"}}],
    )
    told = await series_of(api, "series-bad", deep)
    assert (told["state"], told["refused"]) == ("failed", 1)
    assert "8 parts" in told["error"]
