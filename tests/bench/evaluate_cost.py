"""What `oodbench.evaluate` takes, against the bare forward pass over the same images, and its peak of memory.

Half of the images are ID (60 % for fitting, 20 % for the threshold, 20 % for testing), half are OOD; all are
noise, which costs what pictures of the size cost once they are decoded. All detectors that one pass serves
are fitted and scored. Each size is a process of its own, whose peak of resident memory is told beside what
torch and the code take before the first image.

Run: python tests/bench/evaluate_cost.py [--images 5000 10000 20000] [--model resnet18] [--side 32]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import timm
import torch
from torch.utils.data import Dataset

from oodbench import evaluate

CLASSES = 10
SHOWN = ("bare", "took", "ratio", "beyond", "fit", "score", "peak", "before")  # seconds; peaks in MiB


class Noise(Dataset[tuple[torch.Tensor, int]]):
    """Images that are made when they are asked for."""

    def __init__(self, n: int, side: int, seed: int) -> None:
        self.n, self.side, self.seed = n, side, seed

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        rng = torch.Generator().manual_seed(self.seed * 1_000_003 + i)
        return torch.randn(3, self.side, self.side, generator=rng), i % CLASSES


def batches(data: Noise, size: int = 256) -> Iterator[torch.Tensor]:
    for start in range(0, len(data), size):
        yield torch.stack([data[i][0] for i in range(start, min(start + size, len(data)))])


def peak() -> int:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def one(images: int, name: str, side: int) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=CLASSES).eval()
    ids, ood = images // 2, images - images // 2
    sizes = {"train": ids * 6 // 10, "val": ids * 2 // 10, "test": ids - ids * 6 // 10 - ids * 2 // 10}
    parts = {part: Noise(n, side, i) for i, (part, n) in enumerate(sizes.items())}
    outside = Noise(ood, side, 9)
    with torch.inference_mode():
        model(torch.randn(256, 3, side, side))
        began = time.perf_counter()
        for data in (*parts.values(), outside):
            for batch in batches(data):
                model(batch)
        bare = time.perf_counter() - began
    before = peak()
    began = time.perf_counter()
    found = evaluate(
        model,
        id_train=parts["train"],
        id_val=parts["val"],
        id_test=parts["test"],
        ood={"near": {"noise": outside}},
    )
    took = time.perf_counter() - began
    told = {"bare": bare, "took": took, "before": before, "peak": peak()}
    print(json.dumps({**told, "detectors": len(found.outcome.detectors), **found.outcome.seconds}))


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[5000, 10_000, 20_000])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.one, args.model, args.side)
        return
    print(f"{args.model}, {args.side} × {args.side}")
    print("".join(f"{head:>10}" for head in ("images", *SHOWN)))
    for images in args.images:
        how = ["--one", str(images), "--model", args.model, "--side", str(args.side)]
        done = subprocess.run([sys.executable, __file__, *how], capture_output=True, text=True, check=True)
        f = json.loads(done.stdout.splitlines()[-1])
        f |= {"ratio": f["took"] / f["bare"], "beyond": f["took"] - f["bare"]}
        print(f"{images:10}" + "".join(f"{f[name]:10.2f}" for name in SHOWN), flush=True)


if __name__ == "__main__":
    main()
