import os

import pytest
from processes import in_a_new_process

from minibert.runtime import cores

PRINT_COUNT = "from minibert.runtime.threads import get_num_threads; print(get_num_threads())"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("3", "3"), ("5,2", "5"), ("9999", "1024"), ("0", None), ("many", None), ("", None)],
)
def test_the_default_is_that_of_openmp_if_it_is_a_count(value, expected):
    cores = str(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else None
    found = in_a_new_process(PRINT_COUNT, OMP_NUM_THREADS=value)
    assert found == expected or (expected is None and cores in (found, None))


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores"
)
def test_the_default_counts_the_cores_that_the_process_may_use():
    core = min(os.sched_getaffinity(0))
    program = f"import os; os.sched_setaffinity(0, [{core}]); {PRINT_COUNT}"
    assert in_a_new_process(program, OMP_NUM_THREADS="") == "1"


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "30000 100000"}, 1),
        ({"cpu.max": "max 100000"}, 1 << 16),
        ({"cpu/cpu.cfs_quota_us": "700000", "cpu/cpu.cfs_period_us": "100000"}, 7),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 1 << 16),
        ({}, 1 << 16),
    ],
    ids=str,
)
def test_the_quota_of_a_container(tmp_path, monkeypatch, files, count):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(cores, "CGROUP", tmp_path)
    assert cores._quota() == count
