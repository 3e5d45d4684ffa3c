import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from datamanager.errors import LocalServerError
from datamanager.local.child import Child, ChildSpec
from datamanager.local.lines import no_lines
from datamanager.local.supervise import supervised

SLEEP = "import time; open('ready', 'w').close(); print('hello', flush=True); time.sleep(1000)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


def _spec(folder: Path, code: str, **more: object) -> ChildSpec:
    """A child that runs `code` and answers once the file `ready` is there."""

    async def answers() -> bool:
        return (folder / "ready").exists()

    argv = (sys.executable, "-c", code)
    return ChildSpec(name="one", argv=argv, env=dict(os.environ), cwd=folder, answers=answers, **more)  # type: ignore[arg-type]  # by name


@asynccontextmanager
async def _running(spec: ChildSpec) -> AsyncIterator[tuple[Child, list[str]]]:
    said: list[str] = []
    async with supervised([spec], logs=spec.cwd, report=lambda _name, text: said.append(text)) as (child,):
        yield child, said


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # another process: there is no event
            await asyncio.sleep(0.01)


async def test_a_killed_child_comes_back_and_says_so(tmp_path: Path) -> None:
    async with _running(_spec(tmp_path, SLEEP)) as (child, said):
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await _until(lambda: child.pid not in (first, None) and len(said) == 2)
        assert said[0] == "killed by SIGKILL; starting it again in 0.1 s"
        assert said[1].startswith("works again after")


async def test_a_child_that_dies_young_twice_waits_longer(tmp_path: Path) -> None:
    once = f"import os\nif os.path.exists('ready'): raise SystemExit(3)\n{SLEEP}"
    async with _running(_spec(tmp_path, once)) as (child, said):
        os.kill(child.pid or 0, signal.SIGKILL)
        await _until(lambda: sum("starting it again" in line for line in said) == 3)
        pauses = [line for line in said if "starting it again" in line]
        assert pauses[1:] == [f"ended with status 3; starting it again in {pause} s" for pause in (0.2, 0.4)]


async def test_stop_ends_it_and_nothing_starts_it_again(tmp_path: Path) -> None:
    async with _running(_spec(tmp_path, SLEEP)) as (child, said):
        pid = child.pid
    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert said == []


async def test_what_a_killed_child_leaves_behind_is_ended_before_it_comes_back(tmp_path: Path) -> None:
    code = f"import subprocess; open('pid', 'w').write(str(subprocess.Popen(['sleep', '1000']).pid)); {SLEEP}"
    async with _running(_spec(tmp_path, code)) as (child, said):
        left = int((tmp_path / "pid").read_text())
        os.kill(child.pid or 0, signal.SIGKILL)
        await _until(lambda: said)
        await _until(lambda: not psutil.pid_exists(left))


async def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    async with _running(_spec(tmp_path, STUBBORN, stop_s=0.3)) as (child, said):
        pid = child.pid
    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert said == ["does not end within 0.3 s: killed"]


async def test_cancelling_the_stop_kills_at_once(tmp_path: Path) -> None:
    pids: list[int | None] = []

    async def run() -> None:
        async with _running(_spec(tmp_path, STUBBORN, stop_s=60)) as (child, _):
            pids.append(child.pid)
            await asyncio.sleep(1000)

    task = asyncio.create_task(run())
    await _until(lambda: pids)
    task.cancel()
    await asyncio.sleep(0.3)
    assert psutil.pid_exists(pids[0] or 0)
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    await _until(lambda: not psutil.pid_exists(pids[0] or 0))


async def test_it_is_stopped_while_it_waits_to_be_started_again(tmp_path: Path) -> None:
    once = f"import os\nif os.path.exists('ready'): raise SystemExit(3)\n{SLEEP}"
    async with asyncio.timeout(10):
        async with _running(_spec(tmp_path, once)) as (child, said):
            child._policy.longest_s = child._policy.first_s = 1000
            os.kill(child.pid or 0, signal.SIGKILL)
            await _until(lambda: said)
        assert child.pid is None


async def test_one_that_never_comes_up_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(
        LocalServerError, match=r"one ended with status 7; its log is .*one\.log; its last words:\s+no such disk"
    ):
        async with _running(_spec(tmp_path, "print('no such disk'); raise SystemExit(7)")):
            pytest.fail("it came up")


async def test_one_that_does_not_answer_in_time_is_an_error_and_is_ended(tmp_path: Path) -> None:
    code = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(1000)"
    with pytest.raises(LocalServerError, match=r"does not answer after 0\.8 s"):
        async with _running(_spec(tmp_path, code, start_s=0.8)):
            pytest.fail("it came up")
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


async def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    spec = ChildSpec(name="one", argv=("/no/such/program",), env={}, cwd=tmp_path, answers=_never)
    with pytest.raises(LocalServerError, match=r"cannot be started.*No such file"):
        async with _running(spec):
            pytest.fail("it came up")


async def test_a_child_that_floods_its_output_is_never_held_up_and_its_log_stays_bounded(tmp_path: Path) -> None:
    flood = "for _ in range(300_000): print('x' * 99)\nopen('done', 'w').close()\n"
    async with _running(_spec(tmp_path, f"open('ready', 'w').close()\n{flood}{SLEEP}", lines=no_lines)):
        await _until((tmp_path / "done").exists)
    assert sum(path.stat().st_size for path in _logs(tmp_path)) < 20_000_000


async def test_when_one_fails_at_the_start_the_others_are_ended(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    bad.mkdir()
    code = f"import os; open('pid', 'w').write(str(os.getpid())); {SLEEP}"
    with pytest.raises(LocalServerError):
        async with supervised(
            [_spec(good, code), _spec(bad, "raise SystemExit(1)")], logs=tmp_path, report=lambda _name, _text: None
        ):
            pytest.fail("both came up")
    assert not psutil.pid_exists(int((good / "pid").read_text()))


def _logs(folder: Path) -> list[Path]:
    return list(folder.glob("one.log*"))


async def _never() -> bool:
    return False
