"""What a benchmark ran on: machine, versions, and how busy the machine was with other things."""

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import psutil

__all__ = ["CpuWatch", "Shares", "describe_machine", "describe_versions", "load_average"]

Shares = dict[str, float]
_PACKAGES = "datamanager litestar uvicorn uvloop websockets pymongo obstore redis msgspec pyarrow numpy".split()
_OTHERS = "others"


def describe_machine() -> dict[str, str | int | float]:
    """Processor, cores, memory in GiB and kernel."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def describe_versions() -> dict[str, str]:
    """Python, what matters of our dependencies, and the commit; those of the servers are added by who asks them."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}, "commit": _commit()}


def _commit() -> str:
    asked = ("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*")
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603  # fixed words
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # an installed copy has none


def load_average() -> float:
    """Processes that wanted to run, on the average of the last minute."""
    return round(os.getloadavg()[0], 2)


class CpuWatch:
    """Tells how many cores each of our processes took between two looks, and how many everybody else did.

    Args:
        names: words of a command line to the name its process is shown under; the first that fits counts.
    """

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names
        self.start()

    def start(self) -> None:
        """Counts from now on."""
        self._before, self._began_s = self._look(), time.monotonic()

    def shares(self) -> Shares:
        """Cores taken on the average since the start, by process name; `others` is all that is not ours."""
        now, seconds = self._look(), time.monotonic() - self._began_s
        return {name: round((now[name] - self._before.get(name, 0.0)) / seconds, 3) for name in sorted(now)}

    def _look(self) -> dict[str, float]:
        spent: dict[str, float] = {}
        for child in psutil.Process().children():
            try:
                name = self._name(child.cmdline())
                family = [child, *child.children(recursive=True)]
                seconds = sum(times.user + times.system for times in (member.cpu_times() for member in family))
            except psutil.NoSuchProcess:
                continue  # it ended between two looks
            spent[name] = spent.get(name, 0.0) + seconds
        system = psutil.cpu_times()
        busy = sum(system) - system.idle - getattr(system, "iowait", 0.0) - getattr(system, "guest", 0.0)
        own = psutil.Process().cpu_times()
        spent[_OTHERS] = busy - sum(spent.values()) - own.user - own.system
        return spent

    def _name(self, cmdline: list[str]) -> str:
        line = " ".join(cmdline)
        return next((name for word, name in self._names.items() if word in line), "load")
