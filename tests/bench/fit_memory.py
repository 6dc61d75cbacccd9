"""Print how long every cacheable detector takes to fit features larger than memory, and how much it needs.

The features are made up, as large as ImageNet's of a ResNet-50 (1.28 million images, 2,048 features, 1,000
classes: 10.5 GB and 5.1 GB of logits), and lie in a safetensors file that is memory-mapped, as the cache has
them. Each detector is fitted, and scores some images, in a process of its own, whose anonymous memory is
sampled; the pages of mapped files, which can be dropped, are none. `ratio` is the fit's CPU time, all of it,
over that of the bare float64 matrix products that it rests on, at the rate of one that is measured right
after it; with few rows the decomposition of a covariance, which does not grow with them, is most of it. One
thread, as in a job.

Run: python tests/bench/fit_memory.py                     an hour or two, 20 GB of disk
     python tests/bench/fit_memory.py --rows 100000       some minutes
     python tests/bench/fit_memory.py --only vim knn
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from one_pass import anonymous, cacheable, peak
from safetensors.torch import load_file
from threadpoolctl import threadpool_limits
from torch import Tensor

from benchmark.jobs.inputs import read_features
from benchmark.store.tensors import TensorWriter
from methods.base import Detector, Features, Head
from methods.statistics import POWERS

LIMIT = 4 * 2**30
MADE = 8192  # rows that are made at once
STAGES = (256,)  # widths besides that of the last, which is the penultimate layer's
CHANNELS = 16  # of the Gram statistics: some of the smallest stage's, for the file's sake
VAL = 10_000
TRIED = 8192  # rows of the product whose rate is taken


def widths(args: argparse.Namespace) -> dict[str, tuple[int, ...]]:
    stages = {f"stages.{i}": (width,) for i, width in enumerate(STAGES)}
    return {"penultimate": (args.width,), "logits": (args.classes,), "gram.0": (POWERS, CHANNELS), **stages}


def make(path: Path, args: argparse.Namespace) -> None:
    """Write training and validation features like those after a ReLU, their logits, labels and head."""
    rng = torch.Generator().manual_seed(0)
    centres = torch.randn(args.classes, args.width, generator=rng).relu()
    weight = (centres - centres.mean(dim=0)) / math.sqrt(args.width)
    bias = torch.randn(args.classes, generator=rng) / 10
    parts = {"train": args.rows, "val": min(VAL, args.rows)}
    layout: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
        f"{part}.{name}": (torch.float32, (rows, *width))
        for part, rows in parts.items()
        for name, width in widths(args).items()
    }
    layout |= {f"{part}.labels": (torch.int64, (rows,)) for part, rows in parts.items()}
    layout |= {"head.weight": (torch.float32, weight.shape), "head.bias": (torch.float32, bias.shape)}
    with TensorWriter(path, layout) as writer:
        writer.append("head.weight", weight)
        writer.append("head.bias", bias)
        for part, rows in parts.items():
            for start in range(0, rows, MADE):
                labels = torch.arange(start, min(start + MADE, rows)) % args.classes
                h = torch.randn(len(labels), args.width, generator=rng)
                h = h.mul_(1.5).add_(centres[labels]).sub_(0.3).relu_()
                made = {"penultimate": h, "labels": labels, "logits": torch.addmm(bias, h, weight.T)}
                for i, width in enumerate(STAGES):
                    made[f"stages.{i}"] = h[:, :width] + torch.rand(len(h), width, generator=rng)
                made["gram.0"] = torch.randn(len(h), POWERS, CHANNELS, generator=rng)
                for name, values in made.items():
                    writer.append(f"{part}.{name}", values)


def features(stored: dict[str, Tensor], part: str) -> Features:
    """Memory-mapped features; what costs nothing stands in for what no fit looks at much."""
    found = read_features(stored, part)
    none = torch.zeros(1, 1).expand(found.penultimate.shape)
    drawn = torch.rand(len(found), 4, generator=torch.Generator().manual_seed(0))
    return found.including(
        rank_one=none, log_variances=drawn, stages=[*found.stages, found.penultimate], outputs=found.logits
    )


def flops(name: str, h: Features) -> float:
    """Of the matrix products that a fit rests on; 0 where it rests on none."""
    rows, width = h.penultimate.shape
    classes = h.logits.shape[1]
    covariance = 2 * rows * width**2
    outside = width - (1000 if width >= 2048 else 512 if width >= 768 else width // 2)  # of `residual`
    return {
        "mahalanobis": covariance,
        "relative_mahalanobis": covariance,
        "mahalanobis_ensemble": covariance + sum(2 * rows * stage**2 for stage in STAGES),
        "logit_mahalanobis": 2 * rows * classes**2,
        "prob_mahalanobis": 2 * rows * classes**2,
        "residual": covariance,
        "vim": covariance + 2 * rows * width * (classes + outside),
        "pnml": covariance,
        "ssd_score": covariance,
        "gmm": covariance + 2 * rows * classes * width,
    }.get(name, 0.0)


def seconds_a_flop(width: int) -> float:
    """CPU time of a matrix product in float64."""
    rows = torch.rand(TRIED, width, dtype=torch.float64)
    tries = []
    for _ in range(3):
        start = time.process_time()
        rows.T @ rows
        tries.append((time.process_time() - start) / (2 * TRIED * width**2))
    return min(tries)


def child(args: argparse.Namespace) -> None:
    """Fit one detector and score some images; print what it took as JSON."""
    stored = load_file(args.file)
    train, val = features(stored, "train"), features(stored, "val")
    unfitted = cacheable([args.child])[args.child]
    found: dict[str, Any] = {"before": anonymous()}
    try:
        with peak(found, "fit peak"):
            clocks = time.perf_counter(), time.process_time()
            head = Head(stored["head.weight"], stored["head.bias"])
            fitted = unfitted.fit(train, val, head, torch.Generator().manual_seed(0))
            found["fit"], cpu = time.perf_counter() - clocks[0], time.process_time() - clocks[1]
        with peak(found, "score peak"):
            start = time.perf_counter()
            fitted.score(val[: args.scored].without("labels"))
            found["score"] = time.perf_counter() - start
        if needed := flops(args.child, train):
            found["ratio"] = cpu / (needed * seconds_a_flop(train.penultimate.shape[1]))
    except Exception as error:  # a detector may fail in any way; the table tells
        found["why"] = f"{type(error).__name__}: {error}"
    print(json.dumps(found))


def learns(made: Detector) -> bool:
    return any(
        "fit" in vars(cls) for cls in type(made).__mro__ if issubclass(cls, Detector) and cls is not Detector
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=str(__doc__).split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_280_000, help="training images")
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--scored", type=int, default=64, help="images that are scored")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these detectors alone")
    parser.add_argument("--folder", type=Path, help="where the file is made, and removed again")
    parser.add_argument(
        "--file", type=Path, help="a file that an earlier run made; made and kept where absent"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        torch.set_num_threads(1)
        with threadpool_limits(1):
            child(args)
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = args.file or Path(folder) / "features.safetensors"
        numbers = sum(math.prod(width) for width in widths(args).values())
        size = 4 * numbers * (args.rows + VAL)
        if not path.exists():
            free = shutil.disk_usage(path.parent).free
            if free < 1.1 * size:
                parser.error(f"{path.parent}: {size / 1e9:.1f} GB are needed, {free / 1e9:.1f} are free")
            start = time.perf_counter()
            make(path, args)
            print(f"made {size / 1e9:.1f} GB in {time.perf_counter() - start:.0f} s")
        report(path, args)


def report(path: Path, args: argparse.Namespace) -> None:
    print(
        f"{args.rows:,} images, {args.width:,} features, {args.classes:,} classes; "
        f"highest anonymous memory in MiB, at most {LIMIT >> 20:,}"
    )
    print(f"{'':<22}{'fit s':>9}{'ratio':>7}{'peak':>8}{f'score {args.scored}':>11}{'peak':>8}")
    over = []
    for name, made in cacheable(args.only).items():
        if not learns(made):
            continue
        command = [
            sys.executable,
            __file__,
            "--child",
            name,
            "--file",
            str(path),
            "--scored",
            str(args.scored),
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            found: dict[str, Any] = {"why": f"ended with {done.returncode}"}
        else:
            found = json.loads(done.stdout.splitlines()[-1])
        if "why" in found:
            print(f"{name:<22} failed: {found['why'][:140]}", flush=True)
            over.append(name)
            continue
        ratio = f"{found['ratio']:7.2f}" if "ratio" in found else f"{'-':>7}"
        peaks = [found["fit peak"], found["score peak"]]
        print(
            f"{name:<22}{found['fit']:9.1f}{ratio}{peaks[0] / 2**20:8.0f}{found['score']:11.2f}"
            f"{peaks[1] / 2**20:8.0f}",
            flush=True,
        )
        if max(peaks) > LIMIT:
            over.append(name)
    print(f"failed, or above the limit: {', '.join(over) or 'none'}")


if __name__ == "__main__":
    main()
