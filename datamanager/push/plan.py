"""What is to be pushed: each file with its kind, stream and time, before anything is sent."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datamanager.client.upload import legal_stream
from datamanager.errors import ConfigError
from datamanager.kinds.recognise import HEAD_BYTES, recognise_kind

__all__ = ["MCAP_MAGIC", "PlannedFile", "plan_files"]

MCAP_MAGIC = b"\x89MCAP0\r\n"
_STEP_NS = 1_000_000  # between files of one stream that are given one time
_DIGITS = re.compile(r"\d+")
_BREAKS = re.compile(r"[-_. ]+")


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file.

    Attributes:
        name: as it is told and kept: its path in the folder that was named, or its own name.
        is_recording: whether its channels are to be imported, rather than the file kept.
    """

    path: Path
    name: str
    kind: str
    stream: str
    t_ns: int
    size_bytes: int
    is_recording: bool


def plan_files(
    paths: Sequence[Path], *, stream: str | None = None, kind: str | None = None, t_ns: int | None = None
) -> list[PlannedFile]:
    """Every file, in the order in which they are to be sent: by name, numbers in it by value.

    Files of one folder whose names differ in their numbers only, and that are of one kind, are one stream.

    Args:
        paths: files, and folders, in which every file is taken but hidden ones.
        stream: the stream of all of them; made of their names when None.
        kind: of all of them; told from each when None.
        t_ns: the time of the first of each stream; each file's time of change when None.

    Raises:
        ConfigError: a path is not there, or nothing is in it.
    """
    found = [_look(path, name, kind) for path, name in _walk(paths)]
    if not found:
        raise ConfigError(f"there is no file in {', '.join(map(str, paths))}")
    streams = {} if stream is not None else _streams_of(found)
    named = [replace(f, stream=streams.get(f.name, stream or "")) for f in found]
    return _timed(sorted(named, key=lambda f: _natural(f.name)), t_ns)


def _walk(paths: Iterable[Path]) -> Iterable[tuple[Path, str]]:
    for path in paths:
        if path.is_dir():
            inside = (p for p in path.rglob("*") if p.is_file() and not _is_hidden(p.relative_to(path)))
            yield from ((p, p.relative_to(path).as_posix()) for p in inside)
        elif path.exists():
            yield path, path.name
        else:
            raise ConfigError(f"{path} is not there")


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _look(path: Path, name: str, kind: str | None) -> PlannedFile:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    known = path.stat()
    is_recording = kind is None and head.startswith(MCAP_MAGIC)
    kind = kind or recognise_kind(head, known.st_size, name)
    return PlannedFile(path, name, kind, "", max(0, known.st_mtime_ns), known.st_size, is_recording)


def _streams_of(files: Sequence[PlannedFile]) -> dict[str, str]:
    """File name to stream: a numbered series is one stream, named by its folder where it is alone in it."""
    series: dict[tuple[str, str, str], list[PlannedFile]] = defaultdict(list)
    for file in files:
        folder, _, own = file.name.rpartition("/")
        series[folder, _DIGITS.sub("#", own), file.kind].append(file)
    many = [key for key, members in series.items() if len(members) > 1]
    names: dict[str, str] = {}
    taken: set[str] = set()
    for (folder, pattern, kind), members in series.items():
        if len(members) == 1:
            wanted = legal_stream(members[0].name)
        elif folder and sum(key[0] == folder for key in many) == 1:
            wanted = legal_stream(f"{folder}/").rstrip("/")
        else:
            stem = _BREAKS.sub("_", pattern.rpartition(".")[0].replace("#", "")).strip("_") or kind
            wanted = legal_stream(f"{folder}/{stem}")
        wanted = _free(wanted, kind, pattern, taken)
        taken.add(wanted)
        names |= {member.name: wanted for member in members}
    return names


def _free(wanted: str, kind: str, pattern: str, taken: set[str]) -> str:
    """A name that no other series has: `a.png` and `a.json` are two streams."""
    ending = pattern.rpartition(".")[2] if "." in pattern else kind
    choices = [wanted, f"{wanted}_{legal_stream(ending)}", *(f"{wanted}_{n}" for n in range(2, 10_000))]
    return next(name for name in choices if name not in taken)


def _timed(files: Sequence[PlannedFile], t_ns: int | None) -> list[PlannedFile]:
    """The files of a stream ascend in time as they do by name."""
    last: dict[str, int] = {}
    timed = []
    for file in files:
        before = last.get(file.stream)
        if t_ns is not None:
            at_ns = t_ns if before is None else before + _STEP_NS
        else:
            at_ns = file.t_ns if before is None else max(file.t_ns, before + 1)
        last[file.stream] = at_ns
        timed.append(replace(file, t_ns=at_ns))
    return timed


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Orders `f2` before `f10`."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", name)]
