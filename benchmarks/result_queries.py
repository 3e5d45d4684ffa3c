"""Results of models by what is in them, and frames like one, among 100,000; beside a search that has no index over values."""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from pymongo import MongoClient

from benchmarks.api import Api
from benchmarks.harness import Bench, Needs, main
from benchmarks.result import Result as Found
from datamanager.storage.results import Result
from datamanager.storage.where import parse_where
from datamanager.storage.where_filter import mongo_filter

__all__ = ["answers", "fill", "measure", "scans"]

_RESULTS = 100_000
_PAGE = 100
_NUMBERS = 64
_T0_NS = 1_700_000_000_000_000_000
_STEP_NS = 33_333_333
_MODELS = ("quality", "detections", "embedding")
Times = dict[str, list[float]]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queries", type=int, default=30, help="queries of each sort and round (%(default)s)")


async def measure(bench: Bench, result: Found) -> None:
    """Writes 100,000 results of each of three models, then asks."""
    place = (bench.config.mongo.url, bench.config.mongo.database, bench.robot_id)
    await bench.elsewhere(fill, *place)
    for turn in range(bench.args.rounds):
        result.add_waits(await bench.elsewhere(answers, bench.url, bench.robot_id, bench.args.queries, turn))
    result.add_waits(await bench.elsewhere(scans, *place))
    result.goal("a filter over 100,000 results, p95", 50, measure="filters of every sort: p95", at_most=True)
    result.goal("frames like one among 100,000, p95", 150, measure="frames like one, read before: p95", at_most=True)
    result.notes.append("verified: every page had as many results as the filter has, of those that it is true of")


def fill(mongo_url: str, database: str, robot_id: str) -> None:
    """Writes the results, and frames that they are of."""
    chance = np.random.default_rng(1)
    with MongoClient[dict[str, Any]](mongo_url) as client:
        into = client[database]
        into["sessions"].insert_one({"_id": f"{robot_id}/results", "robot_id": robot_id, "session_id": "results"})
        for begin in range(0, _RESULTS, 5000):
            made = [
                document
                for n in range(begin, begin + 5000)
                for document in (result.document(_T0_NS + n * _STEP_NS) for result in _results(robot_id, n, chance))
            ]
            into["frames_metadata"].insert_many(_frame(robot_id, n) for n in range(begin, begin + 5000))
            for document in made:
                document["feed"] = {"state": "fed", "seq": int(document["of"].rpartition("-")[2])}
            into["results"].insert_many(made, ordered=False)


def _frame(robot_id: str, n: int) -> dict[str, Any]:
    key = f"raw/{robot_id}/results/frames/front/{n:020d}_p_{n}_rgb.jpg"
    place = {"robot_id": robot_id, "session_id": "results", "stream": "front", "t_ns": _T0_NS + n * _STEP_NS}
    return {"_id": f"{robot_id}-{n}", "kind": "images", "keys": {"original": key}, **place}


def _results(robot_id: str, n: int, chance: np.random.Generator) -> list[Result]:
    cars = int(chance.choice([0, 1, 2, 9], p=[0.5, 0.4, 0.0999, 0.0001]))
    boxes = [
        {"class": "car", "class_id": 2, "score": round(float(chance.random()), 4), "box": [1.0, 2.0, 3.0, 4.0]}
        for _ in range(cars)
    ]
    values: dict[str, dict[str, float | int | str]] = {
        "quality": {"sharpness": float(chance.normal(200, 40)), "exposure": float(chance.random())},
        "detections": {"count": float(cars), **({"counts.car": float(cars)} if cars else {})},
        "embedding": {},
    }
    vector = chance.normal(size=_NUMBERS).astype(np.float32)
    return [
        Result(
            of=f"{robot_id}-{n}",
            enrichment=name,
            robot_id=robot_id,
            session_id="results",
            stream="front",
            output=f"front/{name}",
            t_ns=_T0_NS + n * _STEP_NS,
            model=name,
            version="1",
            task={"detections": "detect", "embedding": "embed"}.get(name, name),
            frame_id=f"{robot_id}-{n}",
            values=values[name],
            boxes=boxes if name == "detections" else None,
            vector=vector / np.linalg.norm(vector) if name == "embedding" else None,
        )
        for name in _MODELS
    ]


def _filters(number: int) -> dict[str, tuple[str, str]]:
    """Result stream and filter by what sort of filter it is; no two numbers ask the same."""
    part = number / 10_000
    return {
        "a common filter": ("detections", f"counts.car >= 2 and count < {9.5 + part}"),
        "a filter that few fit": ("quality", f"sharpness < {60 + part}"),
        "a filter that none fits": ("quality", f"sharpness > {900 + part}"),
        "a box of a class and score": (
            "detections",
            f"detections.class == 'car' and detections.score > {0.998 + part / 100}",
        ),
        "a filter of two streams": ("", f"counts.car >= {8 + part} or sharpness < {50 + part}"),
    }


def answers(url: str, robot_id: str, queries: int, turn: int) -> Times:
    """Milliseconds of each query over HTTP, by what was asked.

    Raises:
        RuntimeError: a page has other results than were asked for.
    """
    api, path = Api(url), f"/sessions/{robot_id}/results/results"
    waited: Times = {}
    for number in range(turn * queries, (turn + 1) * queries):
        for name, (stream, where) in _filters(number).items():
            named = {"stream": f"front/{stream}"} if stream else {}
            took_ms, body = api.timed_ms(path, where=where, limit=_PAGE, **named)
            waited.setdefault(name, []).append(took_ms)
            _check(name, json.loads(body)["items"])
    every = [took_ms for several in waited.values() for took_ms in several]
    like = [api.timed_ms(f"/frames/{robot_id}-{n}/similar", limit=20)[0] for n in range(queries)]
    cold = {"frames like one, the first time": like[:1]} if turn == 0 else {}
    return {**waited, "filters of every sort": every, **cold, "frames like one, read before": like[1:]}


def _check(name: str, items: list[dict[str, Any]]) -> None:
    fits: dict[str, Callable[[], object]] = {
        "a common filter": lambda: len(items) == _PAGE and all(item["values"]["counts.car"] >= 2 for item in items),
        "a filter that few fit": lambda: items and all(item["values"]["sharpness"] < 61 for item in items),
        "a filter that none fits": lambda: not items,
        "a box of a class and score": lambda: (
            items and all(any(box["score"] > 0.998 for box in item["detections"]) for item in items)
        ),
        "a filter of two streams": lambda: {item["output"] for item in items} == {"front/quality", "front/detections"},
    }
    if not fits[name]():
        raise RuntimeError(f"{name}: {len(items)} results, or others than were asked for")


def scans(mongo_url: str, database: str, robot_id: str) -> Times:
    """Milliseconds of the same searches by time alone, as they would be without an index over names and values."""
    waited: Times = {}
    with MongoClient[dict[str, Any]](mongo_url) as client:
        results = client[database]["results"]
        by_time = [("robot_id", 1), ("session_id", 1), ("output", 1), ("t_ns", 1), ("_id", 1)]
        for number in range(5):
            for name, (stream, where) in _filters(10_000 + number).items():
                if not stream:
                    continue
                query = {"robot_id": robot_id, "session_id": "results", "output": f"front/{stream}"}
                began_s = time.perf_counter()
                found = results.find(query | mongo_filter(parse_where(where)), {"vector": 0}).sort("t_ns", 1)
                list(found.hint(by_time).limit(_PAGE))
                waited.setdefault(f"by time alone: {name}", []).append((time.perf_counter() - began_s) * 1000)
    return waited


if __name__ == "__main__":
    main(__doc__ or "", measure, Needs(rounds=3, options=_options))
