"""Print what an evaluation by PGD-20 costs over the 20 forward and backward passes that it needs.

The bare passes are `torch.autograd.grad` of the summed cross-entropy in the images, on the same batches,
and nothing else. The evaluation is `attack_accuracy`: clean accuracy with the look for missing gradients,
random start, 20 steps, the self-checks, accuracy of what came out. Both run on one thread, in turns; each
round gives one ratio of CPU time, and the median counts.

Run: python tests/bench/attack_speed.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional

from benchmark.attacks import attack_accuracy
from benchmark.backbones.create import create_network
from benchmark.backbones.network import Network
from methods.registry import attack

SIDE, CLASSES, STEPS, BATCH, GOAL = 32, 10, 20, 256, 1.2


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=["test_resnet:1024", "resnet18:256"])
    args = parser.parse_args()
    print(f"PGD-{STEPS}, images of {SIDE}×{SIDE}, batches of {BATCH}, one thread, CPU time")
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for named in args.networks:
            name, count = named.split(":")
            torch.manual_seed(0)
            network = create_network(name, CLASSES, SIDE).eval()
            images = torch.rand(int(count), 3, SIDE, SIDE)
            labels = torch.arange(int(count)) % CLASSES
            bare(network, images[:BATCH], labels[:BATCH], 1)  # warm
            rounds = []
            for _ in range(args.rounds):
                passes = seconds(lambda: bare(network, images, labels, STEPS))  # noqa: B023 - called at once
                whole = seconds(lambda: ours(network, images, labels))  # noqa: B023
                rounds.append((passes, whole))
            ratio = statistics.median(whole / passes for passes, whole in rounds)
            passes, whole = (statistics.median(column) for column in zip(*rounds, strict=True))
            print(
                f"{name:>12}, {count} images: passes {passes:6.2f} s, evaluation {whole:6.2f} s, "
                f"ratio {ratio:.2f} (goal at most {GOAL:g})"
            )


def seconds(work: Callable[[], object]) -> float:
    """CPU time of this one thread, in which both works run: other load must not decide the ratio."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


def bare(network: Network, images: Tensor, labels: Tensor, passes: int) -> None:
    """Passes and no steps."""
    for part, own in zip(torch.split(images, BATCH), torch.split(labels, BATCH), strict=True):
        x = part.clone().requires_grad_()
        for _ in range(passes):
            torch.autograd.grad(functional.cross_entropy(network(x), own, reduction="sum"), x)


def ours(network: Network, images: Tensor, labels: Tensor) -> None:
    """The evaluation as the harness makes it."""
    found = attack_accuracy(network, images, labels, {"pgd": attack("pgd", steps=STEPS)}, seed=0)
    assert len(found.right["pgd"]) == len(images)


if __name__ == "__main__":
    main()
