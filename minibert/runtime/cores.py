"""How many cores there are to use: as OpenMP, the system or a container's limit says."""

import math
import os
from functools import cache
from pathlib import Path

MAX_THREADS = 1024


def default_count() -> int:
    """Return how many threads models use, unless somebody sets it."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdecimal() and int(first) > 0:
        return min(int(first), MAX_THREADS)
    return cores()


@cache
def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        found = len(os.sched_getaffinity(0))
    else:
        found = os.cpu_count() or 1
    return min(found, _quota())


CGROUP = Path("/sys/fs/cgroup")


def _quota() -> int:
    """Return how many cores a Linux container may keep busy; many if nothing limits it."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            text = " ".join((CGROUP / file).read_text("ascii") for file in files)
            quota, period = map(int, text.split())
        except (OSError, ValueError):  # no such group, or "max": no limit
            continue
        if quota > 0:
            return max(1, math.ceil(quota / period))
    return 1 << 16
