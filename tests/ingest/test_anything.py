"""Whatever robots send, however odd: the server lives, what is good is acked, and all that was kept can be read."""

import random
from typing import Any

import httpx
import msgpack
import pytest
import websockets
from support.raw_robot import T0, RawRobot

from datamanager.kinds.names import KINDS as ALL_KINDS

KINDS = ("time_series", "telemetry", "time_series", *sorted(ALL_KINDS))
NAMES = "a b a.b t_ns seq count channels data metadata message lines level $ref $set x\0 name camera_id format dtypes".split(
    " "
)
FORMATS = ("arrow", "json", "csv", "ndjson", "msgpack")


class Anything:
    """Makes messages that are nearly right."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  # no secret

    def message(self) -> dict[str, Any]:
        """One message."""
        r = self._random
        kind = r.choice(KINDS)
        stream = r.choice(["x", "y", f"only_{kind}"])
        found = {"data_type": kind, "stream": stream, "payload": self._payload(kind)}
        if r.random() < 0.9:
            found["seq"] = r.choice([r.randrange(50), r.randrange(10**5), 2**63 - 2, -1])
        if r.random() < 0.9:
            found["t_ns"] = r.choice([T0, 0, 2**63 - 1, T0 + r.randrange(10**15)])
        for name in ("timestamp", "metadata", "redelivery", "producer", r.choice(NAMES)):
            if r.random() < 0.1:
                found[name] = self._value()
        return found

    def _payload(self, kind: str) -> Any:
        r = self._random
        if kind in ("time_series", "telemetry") and r.random() < 0.5:
            n = r.randrange(1, 5)
            times = r.choice(
                [[T0 + i for i in range(n)], [r.choice([0, 2**63 - 1, T0]) for _ in range(n)], self._column(n)]
            )
            channels = {r.choice(["a", "b", "t_ns", "seq", "count"]): self._column(n) for _ in range(r.randrange(4))}
            dtypes = {"a": r.choice(["float32", "bool", "int8", "uint64", "x"])}
            return {"t_ns": times, "channels": channels} | ({"dtypes": dtypes} if r.random() < 0.3 else {})
        fields = {r.choice(NAMES): self._value(1) for _ in range(r.randrange(5))}
        fields |= {"message": "m"} if kind == "log" else {}
        fields |= (
            {"data": r.choice([b"x", r.randbytes(60), "text", b"\x89PNG\r\n\x1a\n" + r.randbytes(60)])}
            if r.random() < 0.7
            else {}
        )
        return fields if r.random() < 0.9 else self._value()

    def _column(self, n: int) -> Any:
        r = self._random
        many = [self._scalar, r.random, lambda: "s", lambda: r.randrange(2**63), lambda: r.random() < 0.5]
        make = r.choice(many)
        return r.choice(
            [[make() for _ in range(n)], [make() for _ in range(n)], bytes(8 * n), bytes(n), self._scalar()]
        )

    def _value(self, depth: int = 0) -> Any:
        r = self._random
        if depth > 4 or r.random() < 0.5:
            return self._scalar()
        if r.random() < 0.5:
            return [self._value(depth + 1) for _ in range(r.randrange(4))]
        return {r.choice([*NAMES, 1]): self._value(depth + 1) for _ in range(r.randrange(4))}

    def _scalar(self) -> Any:
        r = self._random
        numbers = [
            0,
            1,
            -1,
            2**53 + 1,
            2**63 - 1,
            -(2**63),
            2**63,
            2**64 - 1,
            0.5,
            -0.0,
            1e308,
            float("nan"),
            float("inf"),
        ]
        others = [None, True, False, "", "NaN", "ü\0", "x" * r.randrange(300), b"", r.randbytes(9)]
        odd = [msgpack.Timestamp(r.choice([0, 2**33, -(2**40)]), 5), msgpack.ExtType(5, b"abc")]
        return r.choice([*numbers, *others, *odd])


@pytest.mark.parametrize("seed", range(3))
async def test_the_server_lives_and_what_was_kept_can_be_read(server: str, seed: int) -> None:
    anything, session = Anything(seed), f"anything{seed}"
    live = f"ws{server[4:]}/api/v1/live?robot_id=raw&session_id={session}"  # showing it to somebody is in nobody's way
    async with RawRobot(server, session) as robot, websockets.connect(live, proxy=None) as viewer:
        await robot.hello()
        for i in range(300):
            batch = [anything.message() for _ in range(i % 5)]
            await robot.put({"messages": batch} if i % 3 == 0 else anything.message())
        await robot.send(0, stream="good")
        await robot.until(lambda: robot.acked.get("good") == 0, 60)
        assert await viewer.recv()
        viewer.transport.abort()  # with the rest unread, as who walks away does
    async with httpx.AsyncClient(base_url=f"{server}/api/v1/sessions/raw/{session}", trust_env=False) as http:
        wrong = {}
        streams = (await http.get("/streams")).json()["items"]
        series = [stream["stream"] for stream in streams if stream["kind"] == "time_series"]
        assert len(series) >= 2
        asked: list[tuple[str, dict[str, Any]]] = [
            ("", {}),
            ("/timeline", {}),
            ("/records", {}),
            ("/at", {"t": 2_000_000_000}),
        ]
        for i, form in enumerate(FORMATS * 2):
            asked += [
                ("/range", {"stream": name, "format": form} | ({"max_points": 9} if i % 2 else {})) for name in series
            ]
        for path, params in asked:
            answer = await http.get(path, params=params)
            if answer.status_code != 200:
                wrong[path, str(params)] = answer.text[:100]
        assert not wrong
