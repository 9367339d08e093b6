"""Memory that is freed and taken again with every image."""

import ctypes
import sys

# Of glibc's malloc.h, and what is set: the largest that mallopt takes, or enough for any batch.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_MIB = 2**20
_OPTIONS = {_TRIM_THRESHOLD: 1024 * _MIB, _TOP_PAD: 256 * _MIB, _MMAP_THRESHOLD: 32 * _MIB}


def keep_freed_memory() -> bool:
    """Has glibc keep memory for the next image rather than return it to the system.

    Decoded images and batches are larger than what it keeps by default, so that the system would
    map every page of every one anew: half of the pipeline's time. It concerns the whole process.

    Returns:
      Whether it is done; other systems' allocators are left as they are.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    accepted = [mallopt(option, value) == 1 for option, value in _OPTIONS.items()]
    return all(accepted)
