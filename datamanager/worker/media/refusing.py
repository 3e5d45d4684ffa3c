"""Every way in which content can fail a decoder, made one."""

from collections.abc import Iterator
from contextlib import contextmanager

from datamanager.errors import DatamanagerError, Refused

__all__ = ["refusing"]


@contextmanager
def refusing() -> Iterator[None]:
    """What goes wrong within comes from the content: it leaves as `Refused`, but for a lack of memory and our own errors.

    Raises:
        Refused: `bad_payload`.
        MemoryError: as it was, without what the library adds to it, which does not leave the process.
    """
    try:
        yield
    except MemoryError as exc:
        raise MemoryError(str(exc)) from exc
    except DatamanagerError:
        raise
    except Exception as exc:  # libav raises some twenty kinds
        raise Refused("bad_payload", f"it cannot be decoded: {exc or type(exc).__name__}"[:300]) from exc
