"""Memory that a call gave back is kept for the next one."""

import ctypes

__all__ = ["keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc; mallopt(3)
_KEPT_BYTES = 256 << 20
_LARGEST_KEPT = 32 << 20  # the most that glibc takes for it


def keep_freed_memory() -> None:
    """Has the allocator of this process keep up to 256 MiB that are free, where it is glibc's.

    As it comes, it gives back what is free at the end of its heap from some dozen MB on, and each call has the kernel
    clear the same pages once more. Arrays of more than 32 MiB are mapped anew all the same: kept in the heap they would
    leave it in pieces, none of them large enough for the next larger batch.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
