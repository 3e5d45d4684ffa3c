"""What a person sees of `local` and `up`: one line a message, each child's name before it, in its own colour on a tty."""

import re
import sys
from typing import TextIO

__all__ = ["Console"]

_COLOURS = {"mongod": 32, "weed": 36, "redis-server": 31, "serve": 34, "worker": 35}
_WIDTH = max(map(len, _COLOURS))


class Console:
    """Writes to one stream; usable as a `Report`."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._coloured = self._stream.isatty()
        self._open = True

    def __call__(self, name: str, text: str) -> None:
        """Writes `text` after the child's name."""
        label = name.ljust(_WIDTH)
        if self._coloured:
            colour = _COLOURS.get(re.sub(r"-\d+$", "", name), 33)  # the second worker is a worker too
            label = f"\x1b[{colour}m{label}\x1b[0m"
        self.say(f"{label} | {text}")

    def say(self, text: str) -> None:
        """Writes one line of our own."""
        if not self._open:
            return
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except OSError:
            self._open = False  # whoever watched is gone; the servers go on, and their logs have everything
