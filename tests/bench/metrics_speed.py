"""Print how many sorts `detection_metrics` costs: its time on a million scores over one `np.sort` of them.

Run: python tests/bench/metrics_speed.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmark.metrics import detection_metrics

SCORES = 1_000_000
REPEATS = 25
GOAL = 2.0


def seconds(work: Callable[[], object]) -> float:
    """CPU time of this one thread, in which both works run: other load must not decide the ratio."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


def main() -> None:
    rng = np.random.default_rng(0)
    normal = rng.normal(1, 1, SCORES // 2), rng.normal(0, 1, SCORES // 2)
    cases = {
        "no ties": normal,
        "float32": tuple(side.astype(np.float32).astype(np.float64) for side in normal),
        "4 decimals": tuple(np.round(side, 4) for side in normal),
        "2 decimals": tuple(np.round(side, 2) for side in normal),
    }
    print(f"{SCORES:,} scores, best of {REPEATS} interleaved runs; goal: ratio at most {GOAL:g}")
    for name, sides in cases.items():
        works = partial(np.sort, np.concatenate(sides)), partial(detection_metrics, *sides)
        timings = [[seconds(work) for work in works] for _ in range(REPEATS)]
        sort, metrics = (1e3 * min(column) for column in zip(*timings, strict=True))
        print(f"{name:>10}: sort {sort:5.2f} ms, metrics {metrics:5.2f} ms, ratio {metrics / sort:.2f}")


if __name__ == "__main__":
    main()
