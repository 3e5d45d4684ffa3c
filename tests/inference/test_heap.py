"""What a call gave back is there for the next one."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
import sys
import numpy as np
from datamanager.inference.heap import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    for _ in range(5):
        held = [np.ones(30 << 20, np.uint8) for _ in range(4)]
        del held

for keep in (lambda: None, keep_freed_memory):
    keep()
    work()
    before = faults()
    work()
    print(faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the allocator is glibc's")
def test_arrays_are_made_again_without_new_pages() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603  # ourselves
    usual, kept = (int(line) for line in done.stdout.split())
    assert usual > 1000
    assert kept < usual / 10
