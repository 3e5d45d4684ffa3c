"""What a reader asks for and how it understands the answers. No I/O: both readers share it.

Addresses and shapes are those of DESIGN section 8.
"""

import datetime as dt
import importlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import numpy as np
import numpy.typing as npt

from datamanager.client.errors import ReaderError, RpcError
from datamanager.client.times import to_ns

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Ask",
    "Samples",
    "Tier",
    "Time",
    "array_of",
    "arrow_of",
    "call_body",
    "check",
    "client_options",
    "content_of",
    "json_of",
    "pending",
    "range_ask",
    "records_params",
    "result_of",
    "samples_of",
    "session_path",
    "sessions_params",
    "time_text",
    "times_params",
    "unreachable",
]

T = TypeVar("T")
Samples = dict[str, npt.NDArray[Any]]
Tier = Literal["original", "preview", "thumbnail"]
Time = float | int | dt.datetime
Params = dict[str, Any]

_NS_FROM = 10**14  # smaller integers are seconds to the server
_API = "/api/v1"


@dataclass(frozen=True, slots=True)
class Ask(Generic[T]):
    """One GET and what its answer means."""

    path: str
    read: Callable[[httpx.Response], T]
    params: Params = field(default_factory=dict)


def client_options(url: str, token: str | None, timeout_s: float) -> dict[str, Any]:
    """How the HTTP client is made: redirects lead to S3, to which our token does not go."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return {
        "base_url": url.rstrip("/") + _API,
        "headers": headers,
        "timeout": timeout_s,
        "follow_redirects": True,
        "trust_env": False,
    }


def time_text(t: Time) -> str:
    """A time for a query, exact: float seconds, int nanoseconds, or an aware datetime."""
    t_ns = t if isinstance(t, int) and t == 2**63 else to_ns(t)  # the end of time may end a range
    if t_ns >= _NS_FROM:
        return str(t_ns)
    return f"{t_ns // 10**9}.{t_ns % 10**9:09d}"


def session_path(robot_id: str, session_id: str) -> str:
    """The address of a session."""
    return f"/sessions/{quote(robot_id, safe='')}/{quote(session_id, safe='')}"


def sessions_params(
    robot_id: str | None, start: Time | None, end: Time | None, tag: str | None, q: str | None, status: str | None
) -> Params:
    """Filters of a list of sessions."""
    return _given({"robot_id": robot_id, "tag": tag, "q": q, "status": status} | times_params(start, end))


def records_params(
    stream: str | Sequence[str] | None,
    start: Time | None,
    end: Time | None,
    tier: Tier | Sequence[Tier] | None,
    limit: int | None,
) -> Params:
    """Filters of a list of records."""
    return _given({"stream": _list(stream), "tier": _list(tier), "limit": limit} | times_params(start, end))


def range_ask(
    path: str,
    stream: str,
    start: Time | None,
    end: Time | None,
    channels: Sequence[str] | None,
    max_points: int | None,
    form: Literal["msgpack", "arrow"],
    read: Callable[[httpx.Response], T],
) -> Ask[T]:
    """The samples of a range."""
    asked = {"stream": stream, "channels": _list(channels), "max_points": max_points, "format": form}
    return Ask(f"{path}/range", read, _given(asked | times_params(start, end)))


def check(answer: httpx.Response) -> httpx.Response:
    """The answer, if it is one.

    Raises:
        ReaderError: it is an error.
    """
    if answer.status_code < 400:
        return answer
    try:
        problem = msgspec.json.decode(answer.content, type=dict[str, Any])
    except msgspec.MsgspecError:
        problem = {}
    code = str(problem.get("code") or f"http_{answer.status_code}")
    detail = str(problem.get("detail") or answer.text[:200] or answer.reason_phrase)
    raise ReaderError(code, detail, answer.status_code)


def unreachable(error: httpx.HTTPError) -> ReaderError:
    """The error of a request that got no answer."""
    return ReaderError("unreachable", f"{type(error).__name__}: {error}", 0)


def pending(answer: httpx.Response) -> float | None:
    """In how many seconds to ask again for a tier that is being made; None when it is here."""
    if answer.status_code != httpx.codes.ACCEPTED:
        return None
    try:
        return max(0.05, float(answer.headers.get("retry-after", "1")))
    except ValueError:
        return 1.0


def json_of(answer: httpx.Response) -> Any:
    """An answer in JSON."""
    return msgspec.json.decode(answer.content)


def content_of(answer: httpx.Response) -> bytes:
    """An answer's bytes."""
    return answer.content


def call_body(method: str, params: Sequence[Any] | Mapping[str, Any] | None) -> dict[str, Any]:
    """A JSON-RPC 2.0 request."""
    given = {} if params is None else {"params": dict(params) if isinstance(params, Mapping) else list(params)}
    return {"jsonrpc": "2.0", "id": 1, "method": method, **given}


def result_of(answer: httpx.Response) -> Any:
    """What a remote call gave.

    Raises:
        RpcError: it ended in an error.
    """
    said = json_of(answer)
    error = said.get("error")
    if error is not None:
        raise RpcError(error["code"], error["message"], error.get("data"))
    return said.get("result")


def samples_of(answer: httpx.Response) -> Samples:
    """A columnar answer in MessagePack as arrays.

    `t_ns` (int64) comes first, then `t_end_ns` and `count` where there are any, then the channels. A channel of numbers
    without gaps has its dtype; any other is an array of objects: each value as it was, None where there is none.
    """
    found = msgspec.msgpack.decode(answer.content)
    dtypes = found.get("dtypes", {})
    start_ns = int(found["start_ns"]) if found.get("start_ns") is not None else 0
    samples: Samples = {"t_ns": start_ns + _integers(found["offset_ns"], dtypes.get("offset_ns"))}
    if "end_offset_ns" in found:
        samples["t_end_ns"] = start_ns + _integers(found["end_offset_ns"], dtypes.get("end_offset_ns"))
    if "count" in found:
        samples["count"] = _integers(found["count"], dtypes.get("count"))
    for name, column in found["channels"].items():
        samples[name] = _values(column, dtypes.get(name, "float64"))
    return samples


def array_of(answer: httpx.Response) -> npt.NDArray[Any]:
    """A `.npy` file as an array."""
    found: npt.NDArray[Any] = np.load(io.BytesIO(answer.content), allow_pickle=False)
    return found


def arrow_of(answer: httpx.Response) -> "pa.Table":
    """An Arrow IPC stream as a table.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
    """
    return _pyarrow().ipc.open_stream(answer.content).read_all()


def _pyarrow() -> Any:
    try:
        return importlib.import_module("pyarrow")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("range_arrow needs pyarrow: pip install pyarrow", name="pyarrow") from error


def _integers(column: Any, dtype: str | None) -> npt.NDArray[np.int64]:
    if isinstance(column, bytes):
        return np.frombuffer(column, np.dtype(dtype or "int64").newbyteorder("<")).astype(np.int64)
    return np.array(column, np.int64)


def _values(column: Any, dtype: str) -> npt.NDArray[Any]:
    if isinstance(column, bytes):
        little = np.frombuffer(column, np.dtype(dtype).newbyteorder("<"))
        return little.astype(np.dtype(dtype))
    values = np.empty(len(column), object)
    values[:] = column
    return values


def times_params(start: Time | None, end: Time | None) -> Params:
    """The bounds of a range; None is open."""
    return {
        "start": None if start is None else time_text(start),
        "end": None if end is None else time_text(end),
    }


def _list(value: str | Sequence[str] | None) -> list[str] | None:
    return None if value is None else [value] if isinstance(value, str) else list(value)


def _given(params: Params) -> Params:
    return {name: value for name, value in params.items() if value is not None}
