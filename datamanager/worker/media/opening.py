"""Opening sound and video that nobody vouches for, and decoding them as far as they can be."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import av
import av.container
import av.error
import av.stream

from datamanager.errors import Refused
from datamanager.kinds.source import Source, open_source

__all__ = ["codec_of", "decoded", "opened"]

# Only the reader of that format is let near the bytes: others would follow names in them to other files.
_DEMUXERS = {
    "mp4": "mov",
    "mov": "mov",
    "m4a": "mov",
    "webm": "matroska",
    "mkv": "matroska",
    "avi": "avi",
    "h264": "h264",
    "wav": "wav",
    "pcm": "wav",
    "mp3": "mp3",
    "ogg": "ogg",
    "flac": "flac",
}
_OPTIONS = {"probesize": "5000000", "analyzeduration": "5000000", "max_streams": "256"}
_MOST_ERRORS = 500


def codec_of(stream: Any) -> Any:
    """The decoder of a stream, which will use one thread.

    Raises:
        Refused: `bad_payload`: there is none.
    """
    codec = stream.codec_context
    if codec is None:
        raise Refused("bad_payload", "its codec is not known here")
    codec.thread_count = 1
    return codec


@contextmanager
def opened(source: Source, form: str) -> Iterator[av.container.InputContainer]:
    """The content as libav sees it, closed on leaving.

    Args:
        source: the content.
        form: its format, as ingest found it.

    Raises:
        Refused: `bad_payload`: it cannot be opened.
    """
    try:
        container = av.open(
            open_source(source), "r", format=_DEMUXERS[form], options=_OPTIONS, metadata_errors="ignore"
        )
    except (av.error.FFmpegError, ValueError, UnicodeError) as exc:
        raise Refused("bad_payload", f"the {form} cannot be opened: {exc}"[:300]) from exc
    with container:
        yield container


def decoded(container: av.container.InputContainer, streams: Sequence[av.stream.Stream]) -> Iterator[Any]:
    """The frames of some streams, in the order of the file. What is broken is left out, as players do.

    Raises:
        Refused: `bad_payload`: so much is broken that the rest is of no use.
    """
    errors = 0
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets)
            frames = packet.decode()
        except StopIteration:
            return
        except av.error.EOFError:
            return
        except av.error.FFmpegError as exc:
            errors += 1
            if errors > _MOST_ERRORS:
                raise Refused("bad_payload", f"more than {_MOST_ERRORS} pieces of it are broken: {exc}"[:300]) from exc
            continue
        yield from frames
