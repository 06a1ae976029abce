"""Programs in which a signal comes, or the interpreter exits, at a moment drawn at random."""

#: Passes of a model, in each of which a signal comes, whose handler raises or runs a model. It
#: prints whether many were interrupted, and whether another thread finds the locks free.
INTERRUPTED = """
import random, signal, threading, time
import numpy as np, threadpoolctl
from minibert import BertConfig, BertModel, set_num_threads
set_num_threads(3)
threadpoolctl.threadpool_limits(2, user_api="blas")
config = BertConfig(vocab_size=97, hidden_size=48, num_hidden_layers=2, num_attention_heads=4)
model = BertModel(config, seed=3)
all_ids = np.random.default_rng(0).integers(0, 97, (32, 20))

def handler(number, frame):
    {handler}

signal.signal(signal.SIGALRM, handler)
chance, caught = random.Random({seed}), 0
libraries = threadpoolctl.ThreadpoolController()
for i in range({times}):
    ids = all_ids[: 1 + 31 * (i % 2)]
    if i < 2:
        model(ids)
    start = time.monotonic()
    expected = model(ids).last_hidden_state
    took = time.monotonic() - start
    try:
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, took))
        found = model(ids).last_hidden_state
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert (found == expected).all()
    except KeyboardInterrupt:
        caught += 1
    for library in libraries.info():
        assert library["user_api"] != "blas" or library["num_threads"] == 2
other = threading.Thread(target=model, args=(ids,))
start = time.monotonic()
other.start()
other.join()
print(caught > {times} // 8, time.monotonic() - start < 5)
"""

#: Passes of a model while the interpreter exits; ``before``: whether there was one before that.
EXIT = """
import atexit, weakref
import numpy as np
from minibert import BertConfig, BertModel, set_num_threads
set_num_threads(3)
config = BertConfig(vocab_size=97, hidden_size=96, num_hidden_layers=2, num_attention_heads=6)
model, ids = BertModel(config, seed=3), np.ones((64, 20), int)
class Last:
    pass
last = Last()
if {before}:
    expected = model(ids).last_hidden_state
def at_exit(name):
    found = model(ids).last_hidden_state
    print(name, found.shape, not {before} or (found == expected).all())
atexit.register(at_exit, "atexit")
weakref.finalize(last, at_exit, "finalize")
import threading
threading._register_atexit(at_exit, "threads")
"""

#: What is imported when a model is first used, by a program that Ctrl-C may reach anywhere in it.
#: It begins anew then, and prints that nothing was left half done.
FIRST_USE = """
import os, signal, sys, threading, time
import numpy as np
def use():
    import minibert
    from minibert import tasks
    model = minibert.BertModel.from_pretrained(minibert.EMBEDDED_CHECKPOINT)
    assert model([[1, 2, 3]] * 4).last_hidden_state.shape == (4, 3, 96)
    assert minibert.verify(model, minibert.EMBEDDED_CHECKPOINT / "reference.safetensors").ok
    with minibert.swap(gelu=lambda x: minibert.functions.gelu(x)):
        tasks.fill_mask("the ball is [MASK] .")
    assert minibert.grade(gelu=lambda x: minibert.functions.gelu(x), process=False)
begun = time.monotonic()
signal.signal(signal.SIGINT, signal.default_int_handler)
print("begun", flush=True)
try:
    use()
    how = "in time"
except BaseException as error:  # before 3.12, __set_name__ wraps it
    assert isinstance(error.__cause__ or error, KeyboardInterrupt), repr(error)
    how = "interrupted"
signal.signal(signal.SIGINT, signal.SIG_IGN)
use()
print(how)
"""
