"""Chunks of a live stream as players take them, without encoding anything anew."""

from dataclasses import dataclass, field

from datamanager.errors import Refused
from datamanager.kinds.joined import JoinedSource
from datamanager.kinds.media.mp4 import read_mp4
from datamanager.kinds.media.window import Window
from datamanager.kinds.source import Source
from datamanager.worker.media.avc import Picture, find_form, has_reordering, pictures_of, read_nals
from datamanager.worker.media.fmp4 import TICKS_PER_S, Piece, Run, Segment, init_segment, media_segment
from datamanager.worker.media.refusing import refusing

__all__ = ["MOST_CHUNK_BYTES", "Chunk", "FragmentTimes", "fragment_times", "remux"]

MOST_CHUNK_BYTES = 64 << 20
_LEAST_SEGMENT_TICKS = 2 * TICKS_PER_S


@dataclass(slots=True)
class Chunk:
    """A chunk of H.264 as segments.

    Attributes:
        independent: whether it begins with a keyframe.
    """

    init: bytes
    codecs: str
    size: tuple[int, int]
    independent: bool
    segments: list[Segment] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FragmentTimes:
    """When a fragment that a robot made begins by its own clock, and how long it lasts, in ticks of 1/90,000 s."""

    start: int
    ticks: int


def remux(source: Source, parameters: Source | None, base: int, ticks: int) -> Chunk | None:
    """Makes segments of a chunk of H.264 with start codes.

    Args:
        source: the chunk.
        parameters: an earlier chunk that has the parameter sets, where this one has none.
        base: when it begins, in ticks.
        ticks: how long it lasts.

    Returns:
        The segments; None where no player would show them as they are: pictures that come in another order than they
        are shown in, or of more than 8 bits.

    Raises:
        Refused: `bad_payload`: there are no parameter sets, or no pictures.
    """
    with refusing():
        return _remux(source, parameters, base, ticks)


def _remux(source: Source, parameters: Source | None, base: int, ticks: int) -> Chunk | None:
    units = read_nals(source.read(0, MOST_CHUNK_BYTES))
    form = find_form(units)
    if form is None and parameters is not None:
        form = find_form(read_nals(parameters.read(0, MOST_CHUNK_BYTES)))
    if form is None:
        raise Refused("bad_payload", "no chunk of the stream up to this one has its parameter sets")
    pictures = pictures_of(units)
    if not pictures:
        raise Refused("bad_payload", "there are no pictures in it")
    known = form.known
    if (known.chroma, known.luma_bits, known.chroma_bits) != (1, 8, 8) or has_reordering(units):
        return None
    chunk = Chunk(init_segment(form, None), known.codec, (known.width, known.height), pictures[0].is_key)
    chunk.segments = _segments(pictures, base, ticks)
    return chunk


def fragment_times(init: Source, media: Source) -> FragmentTimes:
    """When a fragment begins, and how long it lasts.

    Args:
        init: the head of the stream.
        media: the fragment.

    Raises:
        Refused: `bad_payload`: one of both is broken, or they do not belong together.
    """
    found = read_mp4(Window(JoinedSource([init, media])))
    pairs = zip(found.timescales.items(), found.container.tracks, strict=False)
    number, scale = next((form for form, track in pairs if track.kind == "video"), (0, 0))
    runs = [run for run in found.runs if run.track == number and run.samples]
    if not scale or not runs:
        raise Refused("bad_payload", "the fragment has no pictures of the track that its stream began with")
    ticks = sum(run.ticks for run in runs) * TICKS_PER_S // scale
    return FragmentTimes(runs[0].start * TICKS_PER_S // scale, max(1, ticks))


def _segments(pictures: list[Picture], base: int, ticks: int) -> list[Segment]:
    """Pictures spread evenly, parted at keyframes."""
    times = [ticks * i // len(pictures) for i in range(len(pictures) + 1)]
    starts = [0]
    for i, picture in enumerate(pictures):
        if picture.is_key and times[i] - times[starts[-1]] >= _LEAST_SEGMENT_TICKS:
            starts.append(i)
    found: list[Segment] = []
    for first, end in zip(starts, [*starts[1:], len(pictures)], strict=True):
        pieces = [Piece(pictures[i].data, times[i + 1] - times[i], pictures[i].is_key) for i in range(first, end)]
        data = media_segment(len(found) + 1, Run(base + times[first], pieces), None)
        found.append(Segment(times[first], times[end] - times[first], data))
    return found
