"""How busy GPUs are and how much of their memory is used, as `nvidia-smi` says it."""

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from datamanager.clock import Clock
from datamanager.observability import METRICS, get_logger

__all__ = ["GpuReading", "GpuWatch", "parse_readings", "read_gpus"]

_PROGRAM = "nvidia-smi"
_QUERY = ("--query-gpu=index,utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits")
_MIB = 1024 * 1024
_EVERY_S = 5.0
_TIMEOUT_S = 5.0
_FIELDS = 4
_MOST_SAID = 65_536

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One GPU at one time.

    Attributes:
        gpu: its number.
        load: how busy it was lately, 0 to 1; None where the driver does not say (a slice of a GPU).
        used_bytes, total_bytes: its memory; None as above.
    """

    gpu: int
    load: float | None
    used_bytes: int | None
    total_bytes: int | None


def parse_readings(text: str) -> list[GpuReading]:
    """Reads what `nvidia-smi` says: a line a GPU, `0, 37, 1024, 143771` (percent, MiB, MiB); lines of another form are left out."""
    readings = []
    for line in text.splitlines():
        cells = [_number(cell) for cell in line.split(",")]
        if len(cells) != _FIELDS or cells[0] is None:
            continue
        gpu, percent, used, total = cells
        readings.append(
            GpuReading(
                int(gpu or 0),
                None if percent is None else min(max(percent / 100, 0.0), 1.0),
                None if used is None else int(used * _MIB),
                None if total is None else int(total * _MIB),
            )
        )
    return readings


async def read_gpus(timeout_s: float = _TIMEOUT_S) -> list[GpuReading]:
    """Asks for all GPUs once.

    Raises:
        OSError: there is no `nvidia-smi`, it fails, or it takes longer than that.
    """
    program = shutil.which(_PROGRAM)
    if program is None:
        raise FileNotFoundError(f"there is no {_PROGRAM} on the PATH")
    process = await asyncio.create_subprocess_exec(
        program,
        *_QUERY,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(timeout_s):
            said = await _all_of(process)
            status = await process.wait()
    except TimeoutError as exc:
        raise TimeoutError(f"{_PROGRAM} says nothing for {timeout_s:g} s") from exc
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if status != 0:
        raise OSError(f"{_PROGRAM} fails with {status}: {said[:200].strip()}")
    return parse_readings(said)


class GpuWatch:
    """Reads GPUs every few seconds, for metrics and for `load`, once `begin` is called. Run `run` as a task.

    Attributes:
        load: of the busiest GPU, 0 to 1; None while nothing is known.
    """

    def __init__(self, clock: Clock, every_s: float = _EVERY_S) -> None:
        self.load: float | None = None
        self._clock = clock
        self._every_s = every_s
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """CUDA has really loaded: there is something to read."""
        self._begun.set()

    async def run(self) -> None:
        """Reads until cancelled; what cannot be read is said once, and tried again more seldom."""
        await self._begun.wait()
        failures = 0
        while True:
            try:
                self.note(await read_gpus())
                failures = 0
            except OSError as exc:
                if failures == 0:
                    _log.warning("nothing is known of the GPU's load and memory", error=str(exc))
                failures += 1
                self.load = None
            await self._clock.sleep(self._every_s * min(2**failures, 64))

    def note(self, readings: Sequence[GpuReading]) -> None:
        """Takes readings in."""
        loads = [reading.load for reading in readings if reading.load is not None]
        self.load = max(loads, default=None)
        for reading in readings:
            gpu = str(reading.gpu)
            if reading.load is not None:
                METRICS.gpu.labels(gpu).set(reading.load)
            for of, amount in (("used", reading.used_bytes), ("total", reading.total_bytes)):
                if amount is not None:
                    METRICS.gpu_memory.labels(gpu, of).set(amount)


async def _all_of(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None:
        return ""
    said = b""
    while chunk := await process.stdout.read(_MOST_SAID):
        said = (said + chunk)[:_MOST_SAID]
    return said.decode(errors="replace")


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None  # "[N/A]" and the like
    return value if 0 <= value < 1e12 else None
