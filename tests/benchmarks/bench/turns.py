"""Timing in turn: all that is compared runs in the same minutes, each after each other."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Times = dict[str, list[float]]

FEWEST_ROUNDS = 5

#: Idle threads of OpenBLAS spin for about 0.1 s after a run, those of torch for 0.01 s, and would
#: take a core from whoever is next.
PAUSE = 0.12


def turn_order(count: int, number: int) -> list[int]:
    """Return who comes when in a round: a zigzag, moved on by one each round.

    Moving alone would leave everyone behind the same neighbour. In this zigzag (Williams, 1949)
    no step occurs twice, so within 2 * count rounds each follows each other equally often.
    """
    zigzag = [-(i // 2) if i % 2 == 0 else i // 2 + 1 for i in range(count)]
    order = [(place + number) % count for place in zigzag]
    return order if number // count % 2 == 0 else order[::-1]


def in_turn(
    calls: Mapping[str, Callable[[], object]],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Times:
    """Run all in rounds until the seconds are over; return what each run took, round by round."""
    names = list(calls)
    times: Times = {name: [] for name in names}
    end = clock() + seconds
    number = 0
    while number < FEWEST_ROUNDS or clock() < end:
        for place in turn_order(len(names), number):
            times[names[place]].append(one_turn(calls[names[place]], clock, sleep))
        number += 1
    return times


def one_turn(
    call: Callable[[], object], clock: Callable[[], float], sleep: Callable[[float], None]
) -> float:
    """Let the threads of the one before fall asleep, and time the second of two runs.

    The first wakes its own threads and takes back the caches, as in steady work.
    """
    sleep(PAUSE)
    call()
    start = clock()
    call()
    return clock() - start


def ratio(times: Sequence[float], base: Sequence[float]) -> float:
    """Return the median of the ratios in each round: a round's other work is in both its runs."""
    return statistics.median(a / b for a, b in zip(times, base, strict=True))
