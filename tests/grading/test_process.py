"""A function in a process of its own: whatever it does stays there, and ends in time."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from students import gelu

import minibert
from minibert import functions, grade
from minibert.grading import process
from minibert.grading.result import Found

pytestmark = pytest.mark.skipif(not process.HAS_FORK, reason="no process is forked here")

ENDS = {
    "exit": (lambda x: os._exit(3), "it ends the process that it runs in, with status 3"),
    "success": (lambda x: os._exit(0), "it ends the process that it runs in, with status 0"),
    "crash": (
        lambda x: os.kill(os.getpid(), signal.SIGSEGV),
        "it ends the process that it runs in, by SIGSEGV",
    ),
    "abort": (lambda x: os.abort(), "it ends the process that it runs in, by SIGABRT"),
    "interrupt": (
        lambda x: (_ for _ in ()).throw(KeyboardInterrupt),
        "it raises KeyboardInterrupt",
    ),
    "base": (lambda x: (_ for _ in ()).throw(GeneratorExit("x")), "it raises GeneratorExit: x"),
    "input": (lambda x: input(), "it raises EOFError: EOF when reading a line"),
}


@pytest.mark.parametrize("case", ENDS)
def test_what_would_end_the_caller_is_told(case):
    student, said = ENDS[case]
    result = grade(gelu=student)
    assert result.cause == said
    assert result.points == 0


def survives_everything(x):
    while True:
        try:
            time.sleep(100)
        except BaseException:
            continue


def starts_another(x):
    if not os.fork():
        time.sleep(100)
    os.waitpid(-1, 0)


def ignores_signals(x):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


@pytest.mark.parametrize("student", [survives_everything, starts_another, ignores_signals])
def test_whatever_goes_on_is_killed(student):
    start = time.monotonic()
    result = grade(gelu=student, time_limit=0.5)
    assert time.monotonic() - start < 10
    assert (result.cause, result.points) == ("it had not finished after 0.5 seconds", 0)
    with pytest.raises(ChildProcessError):  # nobody is left, not even as a zombie
        os.waitpid(-1, os.WNOHANG)


def test_a_loop_in_c_is_killed():
    """A thread could not be: C code asks nobody whether to go on."""
    start = time.monotonic()
    assert not grade(gelu=lambda x: sum(iter(int, 1)), time_limit=0.5)
    assert time.monotonic() - start < 10


def test_what_it_prints_has_an_end(capfd):
    def prints(x):
        while True:
            print("ha" * 1000)
            os.write(1, b"straight to the descriptor")
            os.system("echo a command")

    assert grade(gelu=prints, time_limit=1).cause == "it had not finished after 1 seconds"
    printed = capfd.readouterr().out
    assert printed.startswith("haha")
    assert printed.endswith("[... more was printed than is shown]\n")
    assert len(printed) < process.MAX_PRINTED + 100
    assert "descriptor" not in printed
    assert "command" not in printed


def test_what_it_prints_is_shown_before_it_fails(capsys):
    def prints(x):
        print("out", x.shape)
        print("err", file=sys.stderr)
        os._exit(1)

    grade(gelu=prints)
    assert capsys.readouterr() == ("out (5, 7)\n", "err\n")


def test_threads_may_print(capsys):
    def prints(x):
        threads = [threading.Thread(target=print, args=("thread",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return gelu(x)

    assert grade(gelu=prints)
    assert "thread" in capsys.readouterr().out


def random_state():
    return np.random.get_state()[1].tolist()  # noqa: NPY002


def test_what_it_changes_stays_there():
    def changes(x):
        np.random.seed(1)  # noqa: NPY002
        np.seterr(all="raise")
        os.environ["MINIBERT_STUDENT"] = "was here"
        os.chdir("/")
        minibert.set_num_threads(1)
        functions.softmax.__wrapped__.__doc__ = "mine"
        sys.stdout = None
        minibert.swap(softmax=lambda x: x).__enter__()
        return gelu(x)

    before = random_state(), np.geterr(), Path.cwd(), sys.stdout
    count = minibert.get_num_threads()
    assert grade(gelu=changes)
    assert (random_state(), np.geterr(), Path.cwd(), sys.stdout) == before
    assert "MINIBERT_STUDENT" not in os.environ
    assert minibert.get_num_threads() == count
    assert functions.softmax.__wrapped__.__doc__ != "mine"


def test_a_function_without_a_name_needs_none():
    """As in a notebook: closures, lambdas and methods of local classes cannot be pickled."""
    half = 0.5

    class Local:
        def gelu(self, x):
            return half * 2 * gelu(x)

    assert grade(gelu=Local().gelu)
    assert grade(gelu=lambda x: half * 2 * gelu(x))


def test_its_arrays_and_its_memory_do_not_come_back():
    kept = []
    assert grade(gelu=lambda x: kept.append(x) or gelu(x))
    assert kept == []


def test_an_interruption_of_the_caller_ends_the_child():
    program = """
import minibert, os, sys, time
def endless(x):
    print("pid", os.getpid(), flush=True)
    while True: pass
minibert.grade(gelu=endless, time_limit=60)
"""
    with subprocess.Popen(
        [sys.executable, "-u", "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        child = int(run.stdout.readline().split()[1])
        run.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in run.communicate(timeout=20)[1]
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_child_whose_caller_is_killed_ends_by_itself(monkeypatch):
    """Nobody is left to kill it then."""
    monkeypatch.setattr(process, "GRACE", -0.7)  # before it is killed
    result = grade(gelu=survives_everything, time_limit=1)
    assert result.cause == "it ends the process that it runs in, by SIGALRM"


def test_a_caller_with_other_threads_gets_no_warning():
    """Since Python 3.12 a fork beside threads warns; warnings are errors here."""
    gone = threading.Event()
    thread = threading.Thread(target=gone.wait)
    thread.start()
    assert grade(gelu=gelu)
    gone.set()
    thread.join()


def test_a_function_may_grade_another():
    assert grade(gelu=lambda x: gelu(x) if grade(relu=lambda x: x * (x > 0)) else x)


def test_the_answer_of_a_child_is_no_pickle():
    """What a function sends in place of its grade is read as text, and is no grade."""
    assert json.loads(json.dumps({"found": []})) == {"found": []}
    found = process.in_a_process(lambda: [Found("a case", "a cause", "a stage", "a note")], 5)
    assert found == [Found("a case", "a cause", "a stage", "a note")]
    assert process.in_a_process(lambda: 1 / 0, 5) == []


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf"), 1e7])
def test_limits_that_are_none(limit):
    with pytest.raises(ValueError, match="needed: seconds, 0 to 1,000,000"):
        grade(gelu=gelu, time_limit=limit)


def test_where_there_is_no_fork(monkeypatch):
    monkeypatch.setattr("minibert.grading.grader.HAS_FORK", False)
    seen = []
    assert grade(gelu=lambda x: seen.append(x) or gelu(x))
    assert seen  # here
    with pytest.raises(ValueError, match="process=True needs a system that forks"):
        grade(gelu=gelu, process=True)


CLASS = """
import minibert, sys, time
import numpy as np
def slow(x):
    if x.shape == (5, 7):
        with open(sys.argv[1], "a") as log: log.write("+1\\n")
        end = time.process_time() + 0.02
        while time.process_time() < end: x @ np.ones((7, 7))
        with open(sys.argv[1], "a") as log: log.write("-1\\n")
    return 0.5 * x * (1 + minibert.functions.erf(x * 0.5**0.5))
assert minibert.grade(gelu=slow)
"""


def test_a_class_graded_at_once_stays_within_the_cores(tmp_path):
    log = tmp_path / "log"
    runs = [subprocess.Popen([sys.executable, "-c", CLASS, log]) for _ in range(12)]
    assert [run.wait(120) for run in runs] == [0] * 12
    steps = np.array(log.read_text().split(), int)
    assert len(steps) > 2 * 12
    assert steps.cumsum().max() <= process.cores()


@pytest.mark.skipif(sys.platform != "linux", reason="the script reads /proc")
def test_notebooks_of_every_kind_at_once_end_as_they_would_alone():
    """Forty of them: by hand, with the script."""
    script = Path(__file__).parents[1] / "tools" / "grade_class.py"
    run = subprocess.run([sys.executable, script, "--notebooks", "8"], capture_output=True)
    assert run.returncode == 0, run.stdout.decode() + run.stderr.decode()
    assert b" 0 hang, 0 differ" in run.stdout


HOLDER = """
import fcntl, os, sys, time
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(file, fcntl.LOCK_EX)
os.utime(file, (time.time() + float(sys.argv[2]),) * 2)
print("held", flush=True)
time.sleep(float(sys.argv[3]))
"""


@pytest.mark.parametrize(
    ("ends", "held", "waits"),
    [
        (60, 1, (0.9, 10)),  # another one is at work, and ends early
        (-60, 20, (0, 10)),  # it should have been over long ago: it is suspended
        (1 - process.GRACE, 20, (0.5, 10)),
    ],
)
def test_how_long_a_core_is_waited_for(monkeypatch, tmp_path, ends, held, waits):
    monkeypatch.setattr(process, "cores", lambda: 1)
    monkeypatch.setattr(process.tempfile, "tempdir", str(tmp_path))
    file = tmp_path / f"minibert-grade-{os.getuid()}-0"
    command = [sys.executable, "-c", HOLDER, file, str(ends), str(held)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        start = time.monotonic()
        assert process.in_a_process(lambda: [Found("a case")], 0.3) == [Found("a case")]
        assert waits[0] <= time.monotonic() - start < waits[1]
        holder.kill()
