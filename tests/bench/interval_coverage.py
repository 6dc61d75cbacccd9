"""Print how often the 95 % intervals from images hold the true value, on simulated scores.

Each line is a setting: distribution of the scores, number of ID and of OOD images, AUROC; then in per cent of
the draws how often the intervals hold

auroc     the AUROC of one OOD set, `benchmark.metrics.delong`
mean      the mean AUROC of two OOD sets that share the ID images
equal     the paired difference of two detectors with this AUROC, whose scores correlate
apart     the same with a detector that makes one and a half times the errors
fpr       FPR@95 of one OOD set, `benchmark.metrics.resampled`
fpr2      the mean FPR@95 of two OOD sets
in, out   average precision, `benchmark.metrics.precision`

The standard error of 95 is 0.5 with 2,000 draws. Scores are normal (`normal`) or t with 3 degrees of freedom
(`t3`), OOD ones moved by what gives the AUROC; those of two detectors correlate by .8 in both.

`--family` prints instead how often, of D equal detectors, a given one is told to be worse than the one that
looks best (`benchmark.metrics.best`), and how often any is.

Run: python tests/bench/interval_coverage.py                    all settings, about 15 CPU minutes
     python tests/bench/interval_coverage.py --sizes 50 --draws 500
     python tests/bench/interval_coverage.py --family
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, optimize, stats

from benchmark.metrics.best import against_best
from benchmark.metrics.delong import delong
from benchmark.metrics.precision import average_precision
from benchmark.metrics.resampled import resampled_fpr95

Matrix = NDArray[np.float64]

KINDS = {"normal": stats.norm, "t3": stats.t(3)}
SIZES = {
    "50": (50, 50),
    "200": (200, 200),
    "1000": (1000, 1000),
    "5000": (5000, 5000),
    "50:5000": (50, 5000),
    "5000:50": (5000, 50),
}
AUROCS = (0.6, 0.8, 0.9, 0.95, 0.99)
ALIKE = 0.8
COLUMNS = ("auroc", "mean", "equal", "apart", "fpr", "fpr2", "in", "out")


def shift(kind: str, auroc: float) -> float:
    """By how much ID scores are higher."""
    if kind == "normal":
        return float(np.sqrt(2) * stats.norm.ppf(auroc))
    law = KINDS[kind]
    x = np.sinh(np.linspace(-12, 12, 200_001))  # dense where the density is, and far out
    density = law.pdf(x)
    return float(optimize.brentq(lambda s: integrate.trapezoid(density * law.cdf(x + s), x) - auroc, -9, 60))


def true_precision(kind: str, moved: float, n: int, m: int) -> tuple[float, float]:
    """Average precision of the populations at this base rate, with ID positive and with OOD positive."""
    law = KINDS[kind]
    x = np.sinh(np.linspace(-12, 12, 200_001))
    ids, oods = n * law.sf(x - moved), m * law.sf(x)
    whole = np.maximum(ids + oods, 1e-300)
    found_in = integrate.trapezoid(law.pdf(x - moved) * ids / whole, x)
    ids, oods = n * law.cdf(x - moved), m * law.cdf(x)
    found_out = integrate.trapezoid(law.pdf(x) * oods / np.maximum(ids + oods, 1e-300), x)
    return float(found_in), float(found_out)


def scores(kind: str, detectors: int, n: int, rng: np.random.Generator) -> Matrix:
    """(D, n) of detectors whose scores correlate."""
    drawn = np.sqrt(ALIKE) * rng.normal(size=n) + np.sqrt(1 - ALIKE) * rng.normal(size=(detectors, n))
    return drawn if kind == "normal" else drawn / np.sqrt(rng.chisquare(3, size=n) / 3)


def coverage(kind: str, n: int, m: int, auroc: float, draws: int, columns: Sequence[str]) -> Matrix:
    worse = 1 - 1.5 * (1 - auroc)
    moved = np.array([shift(kind, one) for one in (auroc, auroc, worse)])
    law = KINDS[kind]
    fpr = float(law.sf(moved[0] + law.ppf(0.05)))
    of_in, of_out = true_precision(kind, float(moved[0]), n, m)
    true = {"auroc": auroc, "mean": auroc, "equal": 0.0, "apart": auroc - worse, "fpr": fpr, "fpr2": fpr}
    true |= {"in": of_in, "out": of_out}
    rng = np.random.default_rng(0)
    hits = np.zeros(len(columns))
    first = (1.0, 0.0)
    for _ in range(draws):
        ids = scores(kind, 3, n, rng) + moved[:, None]
        oods = [scores(kind, 3, m, rng) for _ in range(2)]
        found = {}
        if {"auroc", "mean", "equal", "apart"} & set(columns):
            table = delong(ids, oods)
            found |= {"auroc": table.intervals(first)[0], "mean": table.intervals()[0]}
            found |= {"equal": table.difference(0, 1, first), "apart": table.difference(0, 2, first)}
        if {"fpr", "fpr2"} & set(columns):
            resampled = resampled_fpr95(ids[0], [ood[0] for ood in oods], rng, 1000)
            found |= {"fpr": resampled.interval(first), "fpr2": resampled.interval()}
        if {"in", "out"} & set(columns):
            for name in ("in", "out"):
                precision = average_precision(ids[0], [oods[0][0]], id_positive=name == "in")
                found[name] = precision.interval()
        hits += [found[name].low <= true[name] <= found[name].high for name in columns]
    return 100 * hits / draws


def family(draws: int) -> None:
    print(f"{'':<8}{'n':>6}{'D':>4}{'AUROC':>7}{'a given one':>13}{'any':>7}")
    for kind, n, detectors, auroc in product(KINDS, (200, 1000), (2, 10), (0.8, 0.95)):
        rng, moved = np.random.default_rng(0), shift(kind, auroc)
        wrong = np.zeros(2)
        for _ in range(draws):
            table = delong(scores(kind, detectors, n, rng) + moved, [scores(kind, detectors, n, rng)])
            worse = [one.standing == "worse" for one in against_best(table)[1]]
            wrong += [worse[0], any(worse)]
        print(f"{kind:<8}{n:6}{detectors:4}{auroc:7}", end="")
        print(f"{100 * wrong[0] / draws:13.1f}{100 * wrong[1] / draws:7.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=str(__doc__).split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--aurocs", nargs="+", type=float, default=AUROCS)
    parser.add_argument("--columns", nargs="+", choices=COLUMNS, default=COLUMNS)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--family", action="store_true", help="verdicts in place of intervals")
    args = parser.parse_args()
    if args.family:
        family(args.draws)
        return
    print(f"{'':<8}{'n':>6}{'m':>6}{'AUROC':>7}" + "".join(f"{name:>7}" for name in args.columns))
    for kind, size, auroc in product(args.kinds, args.sizes, args.aurocs):
        n, m = SIZES[size]
        found = coverage(kind, n, m, auroc, args.draws, args.columns)
        print(f"{kind:<8}{n:6}{m:6}{auroc:7}" + "".join(f"{one:7.1f}" for one in found.tolist()), flush=True)


if __name__ == "__main__":
    main()
