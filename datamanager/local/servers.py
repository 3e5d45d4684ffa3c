"""The three servers of a data folder: how each is started, and where it then is."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from datamanager.config import given, load_config
from datamanager.local.binaries import MONGOD, REDIS, WEED, find_program
from datamanager.local.child import ChildSpec
from datamanager.local.lines import error_lines_of_mongod, error_lines_of_weed
from datamanager.local.output import Report
from datamanager.local.ports import HeldPorts
from datamanager.local.probes import mongod_answers, redis_answers, weed_answers
from datamanager.local.state import LocalState, hold_folder, read_state, write_state
from datamanager.local.supervise import supervised

__all__ = ["local_servers"]

# weed's own worker looks for the admin server's gRPC port this far above its HTTP port, whatever it was told.
_GRPC_OFFSET = 10_000
_WEED_PARTS = ("master", "volume", "filer", "s3")


@asynccontextmanager
async def local_servers(
    folder: Path, *, report: Report, environ: Mapping[str, str] | None = None
) -> AsyncIterator[LocalState]:
    """Runs the servers that the environment does not name, and yields where all of them are.

    The same is in `local.json` in `folder`, as long as it stands: a later start goes on with its keys, its data, and
    its ports where they are still free.

    Args:
        folder: the data folder, as an absolute path; made when it is not there.
        report: is told what happens.
        environ: the environment; ours by default.

    Raises:
        LocalServerError: the folder is in use, a program is missing, or a server does not come up.
        ConfigError: a setting is wrong.
    """
    environ = os.environ if environ is None else environ
    cache_gb = load_config(environ).local.mongo_cache_gb
    with hold_folder(folder), HeldPorts() as held:
        state = _with_addresses(_with_ports(read_state(folder) or LocalState(), held), environ)
        specs = await _specs(folder, state, given(environ), cache_gb)
        write_state(folder, state)
        try:
            async with supervised(specs, logs=folder / "logs", report=report):
                yield state
        finally:
            _remove_sockets(state.ports)


def _with_ports(state: LocalState, held: HeldPorts) -> LocalState:
    names = ("mongod", "redis", *(f"{part}{twin}" for part in _WEED_PARTS for twin in ("", ".grpc")))
    ports = {name: held.choose(state.ports.get(name)) for name in names}
    admin = held.choose(state.ports.get("admin"), twin_offset=_GRPC_OFFSET)
    return replace(state, ports=ports | {"admin": admin, "admin.grpc": admin + _GRPC_OFFSET})


def _with_addresses(state: LocalState, environ: Mapping[str, str]) -> LocalState:
    """Our own servers' addresses, but for those that the environment names."""
    config, chosen, ports = load_config(environ), given(environ), state.ports
    own_mongo, own_s3, own_redis = _own(chosen)
    return replace(
        state,
        mongo_url=f"mongodb://127.0.0.1:{ports['mongod']}" if own_mongo else config.mongo.url,
        s3_endpoint=f"http://127.0.0.1:{ports['s3']}" if own_s3 else config.s3.endpoint,
        s3_access_key=state.own_access_key if own_s3 else config.s3.access_key,
        s3_secret_key=state.own_secret_key if own_s3 else config.s3.secret_key,
        redis_url=f"redis://127.0.0.1:{ports['redis']}/0" if own_redis else config.redis.url,
    )


def _own(chosen: Mapping[str, str]) -> tuple[bool, bool, bool]:
    """Which of MongoDB, S3 and Redis we start ourselves."""
    mongo, s3, redis = (not chosen.get(f"DATAMANAGER_{name}") for name in ("MONGO_URL", "S3_ENDPOINT", "REDIS_URL"))
    return mongo, s3, redis


async def _specs(folder: Path, state: LocalState, chosen: Mapping[str, str], cache_gb: float) -> list[ChildSpec]:
    makers = (
        (MONGOD, partial(_mongod, folder, state, cache_gb)),
        (WEED, partial(_weed, folder, state)),
        (REDIS, partial(_redis, folder, state)),
    )
    wanted = [maker for maker, own in zip(makers, _own(chosen), strict=True) if own]
    paths = await asyncio.gather(*(find_program(program) for program, _ in wanted))
    return [make(str(path)) for path, (_, make) in zip(paths, wanted, strict=True)]


def _home(folder: Path, name: str) -> Path:
    home = folder / name
    home.mkdir(mode=0o700, exist_ok=True)
    return home


def _environment(home: Path) -> dict[str, str]:
    """A small one: a user's own `AWS_…`, `S3_…` or `WEED_…` variables must not change what our servers do."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {"HOME": str(home), "TMPDIR": str(home)}


def _mongod(folder: Path, state: LocalState, cache_gb: float, program: str) -> ChildSpec:
    home, port = _home(folder, "mongod"), state.ports["mongod"]
    argv = (
        *(program, "--dbpath", str(home), "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket"),
        *("--quiet", "--wiredTigerCacheSizeGB", f"{cache_gb:g}", "--slowms", "1000"),
        # It would ask home whether anyone wants to watch, and write up to 200 MB about itself.
        *("--enableFreeMonitoring", "off", "--setParameter", "diagnosticDataCollectionEnabled=false"),
    )
    return ChildSpec(
        name="mongod",
        argv=argv,
        env=_environment(home),
        cwd=home,
        answers=partial(mongod_answers, port),
        lines=error_lines_of_mongod,
    )


def _weed(folder: Path, state: LocalState, program: str) -> ChildSpec:
    home, ports = _home(folder, "s3"), state.ports
    port_options = {f"{part}.port": ports[part] for part in (*_WEED_PARTS, "admin")}
    grpc_options = {f"{part}.port.grpc": ports[f"{part}.grpc"] for part in (*_WEED_PARTS, "admin")}
    options = {
        "dir": home,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        **port_options,
        **grpc_options,
        "s3.localSocket": "s3.sock",  # relative: a socket's path may have 107 bytes
        "filer.localSocket": "filer.sock",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "admin.ui": "false",
        "webdav": "false",
        "master.telemetry": "false",  # it would report to its makers
        # A bucket has at least one volume. They grow as they are written, so that many cost nothing and the disk
        # alone is the limit.
        "master.volumeSizeLimitMB": 1024,
        "volume.max": 10_000,
        "volume.preStopSeconds": 0,
    }
    keys = {"AWS_ACCESS_KEY_ID": state.own_access_key, "AWS_SECRET_ACCESS_KEY": state.own_secret_key}
    return ChildSpec(
        name="weed",
        argv=(program, "-logtostderr=true", "mini", *(f"-{name}={value}" for name, value in options.items())),
        env=_environment(home) | keys,
        cwd=home,
        answers=partial(weed_answers, ports["s3"], ports["master"]),
        lines=error_lines_of_weed,
    )


def _remove_sockets(ports: Mapping[str, int]) -> None:
    """Removes what weed leaves in /tmp; where it puts these sockets cannot be set."""
    for part in (*_WEED_PARTS, "admin"):
        path = Path(f"/tmp/seaweedfs-{part}-grpc-{ports[f'{part}.grpc']}.sock")  # noqa: S108  # its choice, not ours
        with contextlib.suppress(OSError):  # another user's, of another day: not ours to remove
            path.unlink(missing_ok=True)


def _redis(folder: Path, state: LocalState, program: str) -> ChildSpec:
    home, port = _home(folder, "redis"), state.ports["redis"]
    argv = (
        *(program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), "--loglevel", "notice"),
        *("--save", "", "--appendonly", "no", "--databases", "1000"),  # nothing depends on what it holds
        *("--maxmemory", "256mb", "--maxmemory-policy", "volatile-lru"),  # caches go, waiting jobs stay
    )
    return ChildSpec(
        name="redis-server", argv=argv, env=_environment(home), cwd=home, answers=partial(redis_answers, port)
    )
