"""What is fuzzed: functions of bytes that may refuse them, and may do nothing else.

A kind's `examine` is a target by itself, begun from the kind's golden files. To add another parser, add a line to `OTHERS`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from datamanager.client import from_vuer
from datamanager.errors import DatamanagerError
from datamanager.kinds.csv.pages import read_page
from datamanager.kinds.csv.series import read_batches
from datamanager.kinds.documents.look import JSON_KINDS, read_json
from datamanager.kinds.kind import Hints, KindLimits
from datamanager.kinds.log_entries import LogFilter, find_entries
from datamanager.kinds.markdown.html import render_markdown
from datamanager.kinds.parameters.replay import apply_all
from datamanager.kinds.safetensors.header import read_header
from datamanager.kinds.safetensors.npy import npy_header
from datamanager.kinds.source import BytesSource
from datamanager.kinds.table import KIND_TABLE, examine_content
from datamanager.kinds.tar import read_members as read_tar
from datamanager.kinds.zip import read_members as read_zip
from datamanager.kinds.zip.content import MemberUnpacker, local_bytes, packed_start
from datamanager.worker.media.child import SliceRequest, transcode_slice
from datamanager.worker.media.keyframes import keyframe_pictures
from datamanager.worker.media.remux import remux
from datamanager.worker.media.sound import SoundLimits, sound_products
from datamanager.worker.media.transcode import TranscodeLimits

__all__ = ["TARGETS", "Target", "seeds_of"]

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
_LIMITS = KindLimits(max_pixels=4_000_000, max_points=200_000)
_MAX_SEED_BYTES = 256 * 1024  # mutating more finds nothing that mutating less does not


@dataclass(frozen=True, slots=True)
class Target:
    """A function to fuzz.

    Attributes:
        run: takes bytes; may raise a `DatamanagerError`, and must raise nothing else.
        kinds: whose golden files it begins from.
    """

    run: Callable[[bytes], object]
    kinds: tuple[str, ...]


def seeds_of(target: Target) -> list[bytes]:
    """The golden files of a target, the smallest first; nothing else where there are none."""
    files = [
        path for kind in target.kinds for path in sorted((GOLDEN / kind).glob("*")) if path.name != "expected.json"
    ]
    found = [path.read_bytes() for path in files if path.stat().st_size <= _MAX_SEED_BYTES]
    return sorted(found, key=len) or [b"{}"]


def _examine(kind: str, data: bytes) -> None:
    examine_content(kind, BytesSource(data), Hints(), _LIMITS)


def _read_back(kind: str, data: bytes) -> None:
    """What was taken in can be read; only its size may keep it from that."""
    _examine(kind, data)
    read_json(BytesSource(data), kind, "", "/array?path=", _LIMITS.max_depth)


def _unpack_zip(data: bytes) -> Iterator[int]:
    """Unpacks every member as reading back does."""
    scan = read_zip(BytesSource(data), _LIMITS, 0, 1000)
    for member, end in zip(scan.members, scan.ends, strict=True):
        header = data[member.offset : member.offset + local_bytes(data[member.offset : member.offset + 30])]
        begin = packed_start(member, header, end)
        unpacker = MemberUnpacker(member)
        yield sum(len(piece) for piece in unpacker.feed(data[begin : begin + member.packed]))
        unpacker.finish()


def _hear(data: bytes) -> None:
    """What is taken in is decoded, or that is refused."""
    found = examine_content("audio", BytesSource(data), Hints(), _LIMITS)
    sound_products(BytesSource(data), found.metadata["format"], None, SoundLimits(60, 5))


def _see(data: bytes) -> None:
    """What is taken in is shown, or that is refused."""
    form = examine_content("video", BytesSource(data), Hints(), _LIMITS).metadata["format"]
    if form == "h264":
        remux(BytesSource(data), None, 0, 90_000)
    limits = TranscodeLimits(5, 1_000_000)
    keyframe_pictures(BytesSource(data), form, 3, limits)
    transcode_slice(BytesSource(data), SliceRequest("fuzzed", form, 0, 0, limits, budget_s=0))


def _read_rows(data: bytes) -> None:
    """A table that was taken in has rows, from any place on, and may be fed."""
    hints = Hints(payload={"time_column": "column_1", "header": False})
    found = examine_content("csv", BytesSource(data), hints, _LIMITS)
    page = read_page(BytesSource(data), found.fields["table"], None, 1, 3, [])
    read_page(BytesSource(data), found.fields["table"], page.next, 0, 1000, [])
    read_batches(BytesSource(data), found.fields["table"], found.fields["series"])


def _search(data: bytes) -> None:
    """A log that was taken in has entries."""
    _examine("log", data)
    find_entries([(BytesSource(data), 0)], LogFilter(level="info", text="a"), 1000)


KINDS: Mapping[str, Target] = {
    kind: Target(partial(_examine, kind), (kind,)) for kind in KIND_TABLE if kind != "time_series"
}
OTHERS: Mapping[str, Target] = {
    **{f"{kind} as JSON": Target(partial(_read_back, kind), (kind,)) for kind in JSON_KINDS},
    "members of a zip": Target(lambda data: [*_unpack_zip(data)], ("zip",)),
    "members of a tar": Target(lambda data: read_tar(BytesSource(data), _LIMITS, 0, 1000), ("tar",)),
    "a tensor as .npy": Target(
        lambda data: [npy_header(t) for t in read_header(BytesSource(data), 10_000).tensors], ("safetensors",)
    ),
    "vuer_msg in the client": Target(from_vuer, ("vuer_msg",)),
    "markdown as HTML": Target(lambda data: render_markdown(BytesSource(data), _LIMITS), ("markdown",)),
    "rows of a csv": Target(_read_rows, ("csv",)),
    "parameters put together": Target(
        lambda data: apply_all(b'{"a": 1}', [("merge", BytesSource(data))]), ("parameters",)
    ),
    "entries of a log": Target(_search, ("log",)),
    "a sound in a worker": Target(_hear, ("audio",)),
    "a video in a worker": Target(_see, ("video",)),
}
TARGETS: Mapping[str, Target] = {**KINDS, **OTHERS}
ALLOWED = DatamanagerError
