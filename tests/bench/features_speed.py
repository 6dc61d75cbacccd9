"""Print how long detectors take on features that are there already, ours over pytorch-ood's.

In one process and one thread, in turn, on the same float32 features, labels and head, with the same settings.
The CPU time of the process counts, so that other load does not decide; of several runs, the median. A ratio
of 1 is as fast as theirs, below it faster; `scored` counts, `fitted` is told besides. `agree` is Spearman's
rank correlation of both scores.

Left out: detectors that step images (ODIN, MahalanobisODIN), and Gram and RankFeat, which get feature maps
there and what the one pass has made of them here.

Run: python tests/bench/features_speed.py            about five minutes
     python tests/bench/features_speed.py --only vim fdbd
     python tests/bench/features_speed.py --spread 3      what float64 buys: see `agree`
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_ood import __version__
from pytorch_ood import detector as theirs
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from methods.base import Features, Head
from methods.registry import detector

GOAL = 1.0
ROWS = 256  # that theirs differentiates at once
STAGES = (64, 128, 256)  # widths of the network's other stages


@dataclass(frozen=True)
class Part:
    """Images as both are given them, rows of one set."""

    h: Tensor  # (N, D)
    z: Tensor  # (N, K)
    y: Tensor  # (N,)
    stages: tuple[Tensor, ...]

    @property
    def ours(self) -> Features:
        return Features(self.z, self.h, self.y, stages=self.stages)

    @property
    def maps(self) -> Tensor:
        """The features as maps of one position."""
        return self.h[:, :, None, None]


@dataclass(frozen=True)
class World:
    train: Part
    val: Part
    test: Part
    linear: nn.Linear

    @property
    def of_maps(self) -> nn.Module:
        return nn.Sequential(nn.Flatten(), self.linear)


def features(args: argparse.Namespace) -> World:
    """Features like those of a network after a ReLU: clusters that the head tells apart, most of the time."""
    rng = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    classes, width = args.classes, args.width
    centres, mixing = normal(classes, width).relu(), normal(width, width) / math.sqrt(width)
    linear = nn.Linear(width, classes).requires_grad_(requires_grad=False)
    if args.spread:  # turned, and narrow in some directions
        turned = torch.logspace(0, -args.spread, width)[:, None] * torch.linalg.qr(normal(width, width)).Q
    means = centres @ turned if args.spread else centres
    linear.weight.copy_((means - means.mean(dim=0)) / math.sqrt(width))
    linear.bias.copy_(normal(classes) / 10)

    def part(rows: int) -> Part:
        y = torch.arange(rows) % classes
        h = (centres[y] + 1.5 * normal(rows, width) @ mixing - 0.3).relu()
        h = h @ turned if args.spread else h
        stages = [h[:, : min(width, d)] + normal(rows, min(width, d)).relu() for d in STAGES]
        return Part(h, linear(h), y, (*stages, h))

    return World(part(args.train), part(args.train // 10), part(args.test), linear)


# Name of theirs, of ours, our settings; how theirs is made and fitted; how it scores.
Pair = tuple[str, dict[str, Any], Callable[[World], Any], Callable[[Any, Part], Tensor]]


def by_logits(made: Any, part: Part) -> Tensor:
    return made.predict_logits(part.z)  # type: ignore[no-any-return]


def by_features(made: Any, part: Part) -> Tensor:
    return made.predict_features(part.h)  # type: ignore[no-any-return]


def by_maps(made: Any, part: Part) -> Tensor:
    return made.predict_feature_maps(part.maps)  # type: ignore[no-any-return]


def by_rows(made: Any, part: Part) -> Tensor:
    return torch.cat([made.predict(rows) for rows in torch.split(part.h, ROWS)])


def knn(world: World) -> Any:
    made = theirs.KNN(None, k=50)
    made.knn.n_jobs = 1
    return made.fit_features(world.train.h, world.train.y)


def nac(world: World) -> Any:
    layer = nn.Linear(world.linear.in_features, world.linear.in_features, bias=False)
    layer.weight.data.copy_(torch.eye(world.linear.in_features))
    made = theirs.NACUE(nn.Sequential(layer, world.linear), [layer])
    return made.fit([(world.train.h[:1000], world.train.y[:1000])])


def live(world: World) -> nn.Module:
    """The head with gradients."""
    model = nn.Sequential(nn.Linear(world.linear.in_features, world.linear.out_features))
    model[0].load_state_dict(world.linear.state_dict())
    return model


PAIRS: dict[str, Pair] = {
    "MaxSoftmax": ("msp", {}, lambda w: theirs.MaxSoftmax(None), by_logits),
    "MaxLogit": ("max_logit", {}, lambda w: theirs.MaxLogit(None), by_logits),
    "EnergyBased": ("energy", {}, lambda w: theirs.EnergyBased(None), by_logits),
    "Entropy": ("entropy", {}, lambda w: theirs.Entropy(None), by_logits),
    "GEN": ("gen", {}, lambda w: theirs.GEN(None), by_logits),
    "KLMatching": (
        "klm",
        {},
        lambda w: theirs.KLMatching(None).fit_logits(w.val.z, w.val.y),
        by_logits,
    ),
    "OpenMax": ("openmax", {}, lambda w: theirs.OpenMax(None).fit_logits(w.train.z, w.train.y), by_logits),
    "TemperatureScaling": (
        "temperature_scaling",
        {},
        lambda w: theirs.TemperatureScaling(None).fit_logits(w.val.z, w.val.y),
        by_logits,
    ),
    "ASH": ("ash", {}, lambda w: theirs.ASH(None, w.of_maps, percentile=0.9), by_maps),
    "ASH, P": (
        "ash",
        {"variant": "p"},
        lambda w: theirs.ASH(None, w.of_maps, percentile=0.9, variant="ash-p"),
        by_maps,
    ),
    "ASH, B": (
        "ash",
        {"variant": "b"},
        lambda w: theirs.ASH(None, w.of_maps, percentile=0.9, variant="ash-b"),
        by_maps,
    ),
    "SCALE": ("scale", {}, lambda w: theirs.SCALE(None, w.of_maps, percentile=0.85), by_maps),
    "LTS": ("lts", {}, lambda w: theirs.LTS(None, w.linear), by_features),
    "ReAct": (
        "react",
        {},
        lambda w: theirs.ReAct(None, w.of_maps).fit_feature_maps(w.train.maps, w.train.y),
        by_maps,
    ),
    "VRA": (
        "vra",
        {},
        lambda w: theirs.VRA(None, w.of_maps, lower_percentile=0.6, upper_percentile=0.9).fit_feature_maps(
            w.train.maps, w.train.y
        ),
        by_maps,
    ),
    "DICE": (
        "dice",
        {},
        lambda w: theirs.DICE(None, w.linear.weight, w.linear.bias, p=0.9).fit_features(w.train.h, w.train.y),
        by_features,
    ),
    "fDBD": ("fdbd", {}, lambda w: theirs.fDBD(None, w.linear).fit_features(w.train.h), by_features),
    "NCI": (
        "nci",
        {},
        lambda w: theirs.NCI(None, w.linear, alpha=1e-4).fit_features(w.train.h),
        by_features,
    ),
    "SHE": ("she", {}, lambda w: theirs.SHE(None, w.linear).fit_features(w.train.h, w.train.y), by_features),
    "ViM": (
        "vim",
        {},
        lambda w: theirs.ViM(None, w.linear.in_features // 2, w.linear.weight, w.linear.bias).fit_features(
            w.train.h, w.train.y
        ),
        by_features,
    ),
    "PNML": (
        "pnml",
        {},
        lambda w: theirs.PNML(None, w.linear).fit_features(w.train.h, w.train.y),
        by_features,
    ),
    "Mahalanobis": (
        "mahalanobis",
        {},
        lambda w: theirs.Mahalanobis(None).fit_features(w.train.h, w.train.y),
        by_features,
    ),
    "RMD": (
        "relative_mahalanobis",
        {},
        lambda w: theirs.RMD(None).fit_features(w.train.h, w.train.y),
        by_features,
    ),
    "MultiMahalanobis": (
        "mahalanobis_ensemble",
        {},
        lambda w: theirs.MultiMahalanobis([nn.Identity()] * len(w.train.stages)).fit_structured(
            list(w.train.stages), w.train.y
        ),
        # In rows, as in theirs: the whole at once is a matrix of all images by all images.
        lambda made, part: torch.cat(
            [
                made.predict_structured([s[i : i + ROWS] for s in part.stages])
                for i in range(0, len(part.z), ROWS)
            ]
        ),
    ),
    "GMM": (
        "gmm",
        {"covariance": "full"},
        lambda w: theirs.GMM(None).fit_features(w.train.h, w.train.y),
        lambda made, part: torch.cat([made.predict_features(rows) for rows in torch.split(part.h, ROWS)]),
    ),
    "KNN": ("knn", {"k": 50}, knn, by_features),
    "NNGuide": (
        "nnguide",
        {"fraction": 1.0},
        lambda w: theirs.NNGuide(None, w.linear).fit_features(w.train.h, w.train.y),
        by_features,
    ),
    "MCD": (
        "mc_dropout",
        {},
        lambda w: theirs.MCD(nn.Sequential(nn.Dropout(0.5), w.linear).eval(), samples=30, mode="mean"),
        lambda made, part: made.predict(part.h),
    ),
    "GradNorm": (
        "gradnorm",
        {},
        lambda w: theirs.GradNorm(live(w), param_filter=lambda name: name == "0.weight"),
        by_rows,
    ),
    "GradUncertainty": ("gradient_uncertainty", {}, lambda w: theirs.GradUncertainty(live(w)), by_rows),
    "NACUE": ("nac", {}, nac, by_rows),
}


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def measured(world: World, pair: Pair, args: argparse.Namespace) -> tuple[list[float], list[float], float]:
    """Medians of theirs and ours, fitted and scored, in seconds, and how far their ranks agree."""
    ours_name, settings, make, predict = pair
    unfitted = detector(ours_name, **settings)
    head = Head(world.linear.weight, world.linear.bias)
    few = slice(None, 1000) if ours_name == "nac" else slice(None)  # as many as theirs is given
    train = world.train.ours[few]

    def fit() -> Any:
        return unfitted.fit(train, world.val.ours, head, torch.Generator().manual_seed(0))

    test = Features(world.test.z, world.test.h, stages=world.test.stages)
    fits: list[tuple[float, float]] = []
    for _ in range(args.fits):
        a, made = cpu_seconds(lambda: make(world))
        b, fitted = cpu_seconds(fit)
        fits.append((a, b))
    scores: list[tuple[float, float]] = []
    spent = 0.0
    while len(scores) < 3 or (len(scores) < args.repeats and spent < args.seconds):
        a, outlier = cpu_seconds(lambda: predict(made, world.test))
        b, inlier = cpu_seconds(lambda: fitted.score(test))
        scores.append((a, b))
        spent += a + b
    agree = float(spearmanr(-outlier.double().numpy(), inlier.numpy()).statistic)
    medians = [[statistics.median(c) for c in zip(*times, strict=True)] for times in (fits, scores)]
    return medians[0], medians[1], agree


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n")[0])
    parser.add_argument("--train", type=int, default=10_000)
    parser.add_argument("--test", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--spread", type=float, default=0.0, help="decades that features' deviations span")
    parser.add_argument("--repeats", type=int, default=41, help="runs of each, at most")
    parser.add_argument("--fits", type=int, default=3, help="fits of each")
    parser.add_argument("--seconds", type=float, default=8.0, help="after which no run of a pair starts")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these detectors of ours alone")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1), torch.no_grad():
        world = features(args)
        print(
            f"pytorch-ood {__version__}, torch {torch.__version__}: {args.train:,} training and "
            f"{args.test:,} test images, {args.width} features over {args.spread:g} decades, {args.classes} "
            "classes; milliseconds, medians"
        )
        print(f"{'theirs':<20}{'ours':<22}{'theirs':>9}{'ours':>9}{'scored':>8}{'fitted':>8}{'agree':>8}")
        slower = []
        for name, pair in PAIRS.items():
            if args.only and pair[0] not in args.only:
                continue
            fits, scores, agree = measured(world, pair, args)
            ratio = scores[1] / scores[0]
            fit = f"{fits[1] / fits[0]:8.2f}" if fits[0] > 1e-3 else f"{'-':>8}"
            times = f"{1e3 * scores[0]:9.2f}{1e3 * scores[1]:9.2f}{ratio:8.2f}{fit}"
            print(f"{name:<20}{pair[0]:<22}{times}{agree:8.4f}", flush=True)
            if ratio > GOAL:
                slower.append(f"{name} {ratio:.2f}")
    print(f"slower than theirs: {', '.join(slower) or 'none'}")


if __name__ == "__main__":
    main()
