"""Remote calls, through one server and through two."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.processes import served
from support.raw_robot import RawRobot
from support.restartable import Restartable
from support.waiting import eventually

from datamanager.client import AsyncReader, AsyncRobot, Robot, RpcError
from datamanager.config import Config
from datamanager.local.ports import HeldPorts

_NAMES = itertools.count()
T0 = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def other_server(server: str, server_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:  # noqa: ARG001  # the first makes the schema
    """A second server process over the same databases."""
    with served(server_config, log=tmp_path_factory.mktemp("other") / "serve.log") as url:
        yield url


@pytest.fixture
def name() -> str:
    return f"caller{next(_NAMES)}"


@pytest.fixture
async def robot(server: str, name: str) -> AsyncIterator[AsyncRobot]:
    """A robot with methods, connected to `server`."""
    robot = AsyncRobot(server, name, "s")
    cancelled = asyncio.Event()

    @robot.rpc
    async def echo(*values: Any, **named: Any) -> Any:
        return [list(values), named]

    @robot.rpc("arm.add")
    def add(a: float, b: float = 1) -> float:
        return a + b

    @robot.rpc
    async def wait(seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "waited"

    @robot.rpc
    def fail() -> None:
        raise RuntimeError("no grip")

    @robot.rpc
    def refuse() -> None:
        raise RpcError(-7, "not now", {"battery": 0.1})

    @robot.rpc
    def was_cancelled() -> bool:
        return cancelled.is_set()

    async with robot:
        await connected(server, name)
        yield robot


async def connected(server: str, name: str) -> None:
    async with httpx.AsyncClient(base_url=server, trust_env=False) as http:

        async def there() -> bool:
            return (await http.get(f"/api/v1/rpc/{name}")).status_code == 200

        await eventually(there)


@pytest.fixture(params=["same", "other"])
async def reader(request: pytest.FixtureRequest, robot: AsyncRobot, server: str) -> AsyncIterator[AsyncReader]:  # noqa: ARG001  # it is called
    """A caller at the robot's server, and one at another."""
    url = server if request.param == "same" else request.getfixturevalue("other_server")
    async with AsyncReader(url) as found:
        yield found


async def test_calls_by_place_and_by_name_are_answered(reader: AsyncReader, name: str) -> None:
    assert await reader.call(name, "echo", [1, "x", None]) == [[1, "x", None], {}]
    assert await reader.call(name, "echo", {"a": [1.5]}) == [[], {"a": [1.5]}]
    assert await reader.call(name, "echo") == [[], {}]
    assert await reader.call(name, "arm.add", {"a": 2}) == 3


@pytest.mark.parametrize(
    ("method", "params", "code", "words"),
    [
        ("arm.fold", None, -32601, "no method 'arm.fold'"),
        ("arm.add", [], -32602, "missing a required argument: 'a'"),
        ("arm.add", [1, 2, 3], -32602, "too many positional arguments"),
        ("arm.add", {"a": 1, "c": 2}, -32602, "unexpected keyword argument 'c'"),
        ("fail", None, -32603, "RuntimeError: no grip"),
        ("refuse", None, -7, "not now"),
    ],
)
async def test_what_goes_wrong_is_told(
    reader: AsyncReader, name: str, method: str, params: Any, code: int, words: str
) -> None:
    with pytest.raises(RpcError, match=words) as error:
        await reader.call(name, method, params)
    assert error.value.rpc_code == code
    assert error.value.data == ({"battery": 0.1} if method == "refuse" else None)


async def test_a_robot_that_is_not_there_is_said_to_be_so(reader: AsyncReader) -> None:
    with pytest.raises(RpcError, match="nobody is not connected") as error:
        await reader.call("nobody", "echo")
    assert error.value.rpc_code == -32000


async def test_a_call_that_takes_too_long_ends_and_the_robot_is_told(reader: AsyncReader, name: str) -> None:
    began_s = time.monotonic()
    with pytest.raises(RpcError, match=r"not answered within 0\.3 s") as error:
        await reader.call(name, "wait", [30], timeout_s=0.3)
    assert error.value.rpc_code == -32001
    assert time.monotonic() - began_s < 3
    await eventually(lambda: reader.call(name, "was_cancelled"))


async def test_a_caller_that_goes_away_cancels(reader: AsyncReader, name: str) -> None:
    call = asyncio.create_task(reader.call(name, "wait", [30]))
    await asyncio.sleep(0.3)
    call.cancel()
    await eventually(lambda: reader.call(name, "was_cancelled"))


async def test_calls_run_at_the_same_time(reader: AsyncReader, name: str) -> None:
    began_s = time.monotonic()
    answers = await asyncio.gather(*(reader.call(name, "wait", [0.5]) for _ in range(20)))
    assert answers == ["waited"] * 20
    assert time.monotonic() - began_s < 4


async def test_what_can_be_called_is_listed(reader: AsyncReader, name: str, server: str) -> None:
    answer = await reader._http.get(f"/rpc/{name}")
    assert answer.json()["methods"] == ["arm.add", "echo", "fail", "refuse", "wait", "was_cancelled"]
    async with httpx.AsyncClient(base_url=server, trust_env=False) as http:
        assert (await http.get("/api/v1/rpc/nobody")).status_code == 404


async def test_a_method_that_comes_later_can_be_called_too(reader: AsyncReader, robot: AsyncRobot, name: str) -> None:
    robot.rpc("late")(lambda: "here")

    async def answered() -> bool:
        try:
            return await reader.call(name, "late") == "here"
        except RpcError:
            return False

    await eventually(answered)
    robot.stream("x").log(T0, {"a": 1})
    await robot.flush(10)  # the connection that was made anew works


async def test_a_robot_that_leaves_ends_the_calls_to_it(reader: AsyncReader, server: str) -> None:
    async with RawRobot(server, "s", robot="leaver") as leaver:
        await leaver.hello(methods=["wait"])
        call = asyncio.create_task(reader.call("leaver", "wait"))
        await leaver.until(lambda: leaver.said[-1]["type"] == "rpc")
    with pytest.raises(RpcError, match="left before it answered") as error:
        await asyncio.wait_for(call, 10)
    assert error.value.rpc_code == -32002


async def test_a_dashboard_calls_over_its_own_socket(robot: AsyncRobot, name: str, other_server: str) -> None:  # noqa: ARG001  # it is called
    def answers() -> dict[Any, Any]:
        return {said["id"]: said for said in dashboard.said if said["type"] == "rpc"}

    async with RawRobot(other_server, "s", robot=name) as dashboard:
        call = {"type": "rpc", "jsonrpc": "2.0"}
        await dashboard.put({**call, "id": 0, "method": "echo"}, text=True)
        await dashboard.until(lambda: 0 in answers())
        assert answers()[0]["error"]["code"] == -32600  # of whom? no hello came
        await dashboard.put({**call, "id": 1, "robot_id": name, "method": "echo", "params": [1]}, text=True)
        await dashboard.until(lambda: 1 in answers())
        await dashboard.hello("dashboard")
        await dashboard.put({**call, "id": "c-2", "method": "arm.add", "params": {"a": 1, "b": 2}})
        await dashboard.put({**call, "id": "c-3", "method": "wait", "params": [30]})
        await dashboard.put({**call, "id": "c-3", "method": "echo"})
        await dashboard.put({**call, "method": "$/cancelRequest", "params": {"id": "c-3"}})
        await dashboard.put({**call, "id": "c-4", "method": 5})
        await dashboard.put({**call, "id": "c-5", "method": "wait", "params": [30], "timeout_s": 0.2})
        await dashboard.put({**call, "method": "echo"})  # a notification: nobody waits
        await dashboard.until(lambda: set(answers()) >= {1, "c-2", "c-3", "c-4", "c-5"})
        await asyncio.sleep(0.2)
    told = [said for said in dashboard.said if said["type"] == "rpc"]
    assert answers()[1]["result"] == [[1], {}]
    assert answers()["c-2"] == {**call, "id": "c-2", "result": 3}
    assert [said["error"]["code"] for said in told if said["id"] == "c-3"] == [-32600, -32800]  # one id, two calls
    assert answers()["c-4"]["error"]["code"] == -32600
    assert answers()["c-5"]["error"]["code"] == -32001
    assert len(told) == 7


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", {"jsonrpc": "2.0", "id": None, "error": -32700}),
        (b"\xff", {"jsonrpc": "2.0", "id": None, "error": -32700}),
        (b"[" * 10_000, {"jsonrpc": "2.0", "id": None, "error": -32700}),
        (b"[]", {"jsonrpc": "2.0", "id": None, "error": -32600}),
        (b"7", {"jsonrpc": "2.0", "id": None, "error": -32600}),
        (b'{"jsonrpc": "2.0", "id": 9}', {"jsonrpc": "2.0", "id": 9, "error": -32600}),
    ],
)
async def test_bodies_that_are_no_request_get_an_answer(server: str, body: bytes, expected: dict[str, Any]) -> None:
    async with httpx.AsyncClient(base_url=server, trust_env=False) as http:
        answer = await http.post("/api/v1/rpc/any", content=body)
    assert answer.status_code == 200
    assert {**answer.json(), "error": answer.json()["error"]["code"]} == expected


async def test_batches_and_notifications_are_answered_as_json_rpc_has_it(
    robot: AsyncRobot,  # noqa: ARG001  # it is called
    server: str,
    name: str,
) -> None:
    calls = [{"jsonrpc": "2.0", "id": i, "method": "arm.add", "params": [i]} for i in range(3)]
    told = {"jsonrpc": "2.0", "method": "echo"}
    async with httpx.AsyncClient(base_url=server, trust_env=False) as http:
        answer = await http.post(f"/api/v1/rpc/{name}", json=[*calls, told, 5])
        assert [(said["id"], said.get("result")) for said in answer.json()] == [(0, 1), (1, 2), (2, 3), (None, None)]
        assert (await http.post(f"/api/v1/rpc/{name}", json=told)).status_code == 204
        assert (await http.post(f"/api/v1/rpc/{name}", json=[told, told])).status_code == 204
        assert (await http.post(f"/api/v1/rpc/{name}?timeout_s=601", json=told)).status_code == 400
        assert (await http.post(f"/api/v1/rpc/{name}?timeout_s=0", json=told)).status_code == 400
        assert (await http.post("/api/v1/rpc/a%20b", json=told)).status_code == 400


def test_a_blocking_robot_answers_too(server: str, name: str) -> None:
    async def ask() -> Any:
        await connected(server, name)
        async with AsyncReader(server) as reader:
            return await reader.call(name, "twice", [21])

    with Robot(server, name, "s") as robot:

        @robot.rpc
        def twice(number: int) -> int:
            return number * 2

        assert asyncio.run(ask()) == 42


async def test_a_server_that_dies_ends_the_calls_through_it(new_config: Callable[[], Config], tmp_path: Path) -> None:
    config = new_config()
    with HeldPorts() as held:
        doomed = Restartable(config, held.choose(), tmp_path / "doomed.log")
        with served(config, log=tmp_path / "serve.log") as url:
            doomed.spawn()
            try:
                async with RawRobot(await up(doomed.url), "s", robot="far") as far:
                    await far.hello(methods=["wait"])
                    await connected(url, "far")
                    async with AsyncReader(url) as reader:
                        call = asyncio.create_task(reader.call("far", "wait"))
                        await far.until(lambda: far.said[-1]["type"] == "rpc")
                        doomed.kill()
                        with pytest.raises(RpcError, match="is gone") as error:
                            await asyncio.wait_for(call, 10)
                    assert error.value.rpc_code == -32002
            finally:
                doomed.kill()


async def up(url: str) -> str:
    async with httpx.AsyncClient(trust_env=False) as http:

        async def there() -> bool:
            try:
                return (await http.get(f"{url}/ready")).status_code == 200
            except httpx.HTTPError:
                return False

        await eventually(there)
    return url
