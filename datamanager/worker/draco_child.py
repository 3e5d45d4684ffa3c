"""The process that decodes a Draco file which can't be bounded beforehand: bytes in, arrays out, both over pipes.

Run as `python -m datamanager.worker.draco_child`. It answers with two counts (points, coloured points), the points as
float32 and the colours as uint8; or ends with a code that is not 0 and a reason on standard error.
"""

import os
import resource
import sys

import DracoPy

from datamanager.worker.draco import COUNTS, points_of

__all__ = ["main"]

_MEMORY_BYTES = 3 << 30  # of addresses, of which the libraries alone take 0.5 GB or more
_CPU_S = 20


def main() -> int:
    """Decodes standard input to standard output.

    Returns:
        0, or 1 when it cannot be decoded.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the library prints to standard output
    data = sys.stdin.buffer.read()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    try:
        xyz, rgb = points_of(DracoPy.decode(data))
    except Exception as exc:  # noqa: BLE001  # every failure is the file's: said in one line
        sys.stderr.write(f"{type(exc).__name__}: {exc}\n")
        return 1
    with answers:
        answers.write(COUNTS.pack(len(xyz), 0 if rgb is None else len(rgb)))
        answers.write(xyz.tobytes())
        answers.write(b"" if rgb is None else rgb.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
