"""Print what each corruption costs an image, against one forward pass of timm's `resnet18` over it.

Both have one thread, and CPU time counts: other load must not decide the ratio. The network is as timm makes
it, stem and classes included, in evaluation, on batches. Severity 3; the fastest of the repeats counts.

Run: python tests/bench/corruption_speed.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import timm
import torch
from threadpoolctl import threadpool_limits

from benchmark.datasets.shifts import KINDS, ShiftScale, shift

SEVERITY, GOAL = 3, 1.0
SIZES = {ShiftScale.CIFAR_C: (32, 512), ShiftScale.IMAGENET_C: (224, 16)}  # side, images


def seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = timm.create_model("resnet18").eval()
    print(f"resnet18, severity {SEVERITY}, one thread, CPU time; goal: average ratio at most {GOAL:g}")
    with threadpool_limits(1), torch.inference_mode():
        for scale, (side, count) in SIZES.items():
            images = np.random.default_rng(0).integers(0, 256, size=(count, 3, side, side), dtype=np.uint8)
            batch = torch.from_numpy(images) / 255
            forward = partial(network, batch)
            works = {kind: partial(corrupted, images, kind, scale) for kind in KINDS}
            forward()
            for kind in KINDS:  # first calls import and fill caches
                corrupted(images[:1], kind, scale)
            passes, costs = [], {kind: [] for kind in KINDS}
            for _ in range(args.repeats):
                passes.append(seconds(forward))
                for kind, work in works.items():
                    costs[kind].append(seconds(work))
            one_pass = 1e3 * min(passes) / count
            print(
                f"\n{side}×{side}, {count} images, {scale}: a forward pass takes {one_pass:.2f} ms an image"
            )
            ratios = {kind: 1e3 * min(cost) / count / one_pass for kind, cost in costs.items()}
            for kind, ratio in ratios.items():
                print(f"{kind:>18}: {ratio * one_pass:6.2f} ms, ratio {ratio:.2f}")
            print(f"{'average':>18}: ratio {np.mean(list(ratios.values())):.2f}")


def corrupted(images: np.ndarray, kind: str, scale: str) -> np.ndarray:
    return shift(images, kind, SEVERITY, scale, np.random.default_rng(0))


if __name__ == "__main__":
    main()
