"""Memory that a call gave back is kept for the next one."""

import ctypes

__all__ = ["keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h of glibc; mallopt(3)
_KEPT_BYTES = 256 << 20


def keep_freed_memory() -> None:
    """Has the allocator of this process keep up to 256 MiB that are free, where it is glibc's.

    As it comes, it maps every array of more than 32 MB anew and gives it back at once: a batch of four at 640 x 640 then
    takes a third longer, for the pages that the kernel clears.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
