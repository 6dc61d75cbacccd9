"""Print how fast networks are trained, against a bare PyTorch loop over the same network and batches.

Both train the same network, from the same first weights, on the same batches in the same order, in turns; the
fastest of the repeats counts. The bare loop is given its batches ready made, as floats and augmented; ours
makes them, steps the learning rate, and keeps checkpoints within its time. Neither validates.

Run: python tests/bench/training_speed.py
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits
from timm.optim._optim_factory import create_optimizer_v2
from torch.nn import functional

from benchmark.backbones.batches import LabelledImages, augmented
from benchmark.backbones.checkpoint import Checkpoint
from benchmark.backbones.create import create_network
from benchmark.backbones.network import Network
from benchmark.backbones.train import train
from methods.registry import objective

SIDE, CLASSES, GOAL = 32, 10, 0.90
RECIPE = {
    "optimizer": "adamw", "lr": 0.003, "weight_decay": 0.01, "scheduler": "cosine", "warmup_epochs": 0,
    "tune": "all",
}  # fmt: skip
ORDER = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n")[0])
    parser.add_argument("--images", type=int, default=2560)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--networks", nargs="+", default=["test_resnet", "test_efficientnet", "resnet18"])
    args = parser.parse_args()
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (args.images, 3, SIDE, SIDE), dtype=torch.uint8, generator=rng)
    data = LabelledImages(images, torch.arange(args.images) % CLASSES)
    print(f"{args.images:,} images of {SIDE}×{SIDE}, batches of {args.batch_size}, one thread, CPU time")
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for name in args.networks:
            torch.manual_seed(0)
            network = create_network(name, CLASSES, SIDE)
            for augment in ("none", "flip_crop"):
                recipe = RECIPE | {
                    "epochs": args.epochs, "batch_size": args.batch_size, "augment": augment,
                }  # fmt: skip
                pairs = [
                    (bare(network, data, recipe), ours(network, data, recipe)) for _ in range(args.repeats)
                ]
                seen = args.epochs * args.images
                theirs, mine = (seen / min(times) for times in zip(*pairs, strict=True))
                print(
                    f"{name:>18}, augment {augment:>9}: bare {theirs:8,.0f} images/s, ours {mine:8,.0f}: "
                    f"{mine / theirs:.1%} (goal at least {GOAL:.0%})"
                )


def bare(network: Network, data: LabelledImages, recipe: dict[str, object]) -> float:
    """Seconds of the least that trains; the images are floats before the clock starts."""
    network = copy.deepcopy(network).train()
    optimizer = create_optimizer_v2(network, opt="adamw", lr=0.003, weight_decay=0.01)
    order = torch.Generator().manual_seed(ORDER)
    steps = round(len(data.labels) / int(str(recipe["batch_size"])))
    batches = []
    for _ in range(int(str(recipe["epochs"]))):
        for part in torch.randperm(len(data.labels), generator=order).tensor_split(steps):
            images = augmented(data.images[part], str(recipe["augment"]), order)
            batches.append((images.float() / 255, data.labels[part]))
    start = time.process_time()
    for images, labels in batches:
        loss = functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.process_time() - start


def ours(network: Network, data: LabelledImages, recipe: dict[str, object]) -> float:
    """Seconds of the harness's own training, input pipeline, schedule and checkpoints included."""
    network = copy.deepcopy(network)
    chosen = objective("cross_entropy")
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        train(network, chosen, data, None, recipe, ORDER, checkpoint=Checkpoint(Path(folder) / "partial"))
        return time.process_time() - start


if __name__ == "__main__":
    main()
