"""What is read back of a session, held against what was sent."""

import asyncio
from http import HTTPStatus
from typing import Any

import httpx
import pyarrow as pa
from support.senders import BodySender, Sent

__all__ = ["check_sent", "check_tiers", "check_unnumbered", "stored_ids"]


async def _get(http: httpx.AsyncClient, path: str, **params: Any) -> httpx.Response:
    answer = await http.get(f"/api/v1{path}", params=params)
    assert answer.status_code == 200, (str(answer.url), answer.status_code, answer.text[:300])
    return answer


async def stored_ids(http: httpx.AsyncClient, session: str, stream: str) -> list[int]:
    """The `id` channel of a whole stream, sorted."""
    answer = await _get(http, f"/sessions/kills/{session}/range", stream=stream, format="arrow")
    table = pa.ipc.open_stream(answer.content).read_all()
    t_ns = table["t_ns"].to_numpy()
    assert (t_ns[1:] >= t_ns[:-1]).all()
    return sorted(table["id"].to_pylist())


async def check_sent(url: str, sent: Sent) -> None:
    """Everything is there, once, in every answer that counts it."""
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        place = f"/sessions/kills/{sent.session}"
        for stream, ids in sent.samples.items():
            got = await stored_ids(http, sent.session, stream)
            lost, doubled = sorted(set(ids) - set(got)), len(got) - len(set(got))
            assert got == ids, f"{stream}: {len(got)} for {len(ids)}, lost {len(lost)} {lost[:5]}, doubled {doubled}"
            await _check_counts(http, place, stream, len(ids))
        for stream, frames in sent.frames.items():
            items = await _items(http, place, stream)
            assert sorted(int(i["t_ns"]) for i in items) == sorted(frames), (
                f"{stream}: {len(items)}, {len(frames)} sent"
            )
            for item in items:
                original = await http.get(item["urls"]["original"])
                assert original.content == frames[int(item["t_ns"])], f"{stream} at {item['t_ns']} differs"
        for stream, lines in sent.logs.items():
            items = await _items(http, place, stream)
            assert sorted(int(i["t_ns"]) for i in items) == sorted(lines), f"{stream}: {len(items)}, {len(lines)} sent"
        await _check_totals(http, place, sent)


async def check_unnumbered(url: str, bodies: BodySender) -> None:
    """What has no number is never sent again: all of it that was answered is there, and nothing twice."""
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        got = await stored_ids(http, bodies.sent.session, "http/unnumbered")
    assert len(got) == len(set(got))
    assert set(bodies.unnumbered) <= set(got)


async def check_tiers(url: str, sent: Sent) -> None:
    """Workers make pictures smaller still, of frames from before and after the kills."""
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        for stream in sent.frames:
            items = await _items(http, f"/sessions/kills/{sent.session}", stream)
            for item in (items[0], items[len(items) // 2], items[-1]):
                async with asyncio.timeout(30):
                    while (answer := await http.get(item["urls"]["thumbnail"])).status_code == HTTPStatus.ACCEPTED:  # noqa: ASYNC110  # made elsewhere
                        await asyncio.sleep(0.2)
                assert answer.status_code == HTTPStatus.OK, answer.text[:200]
                assert answer.content.startswith(b"\xff\xd8")


async def _check_counts(http: httpx.AsyncClient, place: str, stream: str, samples: int) -> None:
    for most in (3, 300):  # few are drawn from rollups, many from blocks
        answer = await _get(http, f"{place}/range", stream=stream, max_points=most, format="arrow")
        points = pa.ipc.open_stream(answer.content).read_all()
        assert sum(points["count"].to_pylist()) == samples, f"{stream}: {most} points count otherwise"
    timeline = (await _get(http, f"{place}/timeline", bins=97)).json()
    assert sum(timeline["streams"][stream]) == samples, f"{stream}: the timeline counts otherwise"


async def _check_totals(http: httpx.AsyncClient, place: str, sent: Sent) -> None:
    streams = {s["stream"]: s for s in (await _get(http, f"{place}/streams")).json()["items"]}
    for stream, ids in sent.samples.items():
        assert streams[stream]["samples"] == len(ids), (stream, streams[stream], len(ids))
    for stream, records in (sent.frames | sent.logs).items():
        assert streams[stream]["records"] == len(records), (stream, streams[stream], len(records))


async def _items(http: httpx.AsyncClient, place: str, stream: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    params: dict[str, Any] = {"stream": stream, "limit": 500}
    while True:
        page = (await _get(http, f"{place}/records", **params)).json()
        items += page["items"]
        if not page.get("next_cursor"):
            return items
        params["cursor"] = page["next_cursor"]
