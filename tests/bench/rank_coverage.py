"""Print how often confidence sets of ranks hold all true ranks, how wide they are, and what else would do.

Each line is a setting: `coverage`, of the draws in which every set holds its row's rank; `wrong`, of those
with any pair in the wrong order, or in an order where both are equal; and `width`, the mean share of the R
ranks that a set has. All in per cent; the standard error of 95 is 0.5 with 2,000 draws and 1.8 with 150.

Methods:

holm      the pairs of `benchmark.metrics.rank_sets`
flips     Romano and Wolf's step-down of max |t|, all seeds flipped together, studentised in each flip
csranks   as the R package csranks does, but that a pair leaves the step-down with both its directions: means
          drawn from N(0, Σ̂), standard errors as they are
gauss     the same with whole tables drawn from N(0, Σ̂), each studentised anew

Rows have means that are all `equal`, `half` equal and half apart, or all apart (`spread`, over 40 units), a
common effect of each seed (sd 2) and noise of their own of sd .3 to 3, normal, `t3` (3 degrees of freedom),
`skew` (exponential), or `alike` (nearly all of it three factors that rows share by loadings of their own).

Run: python tests/bench/rank_coverage.py                                  holm on all settings, 4 CPU minutes
     python tests/bench/rank_coverage.py --methods holm flips csranks gauss --share .1 --seeds 6 8
     python tests/bench/rank_coverage.py --boards                         widths on the published boards
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmark.metrics.rank_sets import significant_pairs
from benchmark.records.results import iter_records
from benchmark.spec.load import load_spec
from reports.boards.tables import ranking_numbers
from reports.select import select

Vector = NDArray[np.float64]
Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]  # of each pair the better row, and the worse one

LEVEL = 0.05
ROOT = Path(__file__).parents[2]
DRAWS = {5: 2000, 20: 1000, 66: 300, 200: 150}  # by the number of rows
SEEDS = (4, 6, 8, 20)
MEANS = ("equal", "half", "spread")
ENUMERATED = 12  # seeds whose flips are all taken
RESAMPLES = 400  # flips or bootstrap draws otherwise


def means_of(kind: str, rows: int) -> Vector:
    steps = np.arange(rows) * 40 / rows
    if kind == "equal":
        return np.zeros(rows)
    return steps if kind == "spread" else np.maximum(0, steps - steps[(rows - 1) // 2])


def normal(rows: int, seeds: int, rng: np.random.Generator) -> Vector:
    return rng.normal(size=(rows, seeds))


def t3(rows: int, seeds: int, rng: np.random.Generator) -> Vector:
    drawn: Vector = rng.standard_t(3, size=(rows, seeds)) / np.sqrt(3)
    return drawn


def skew(rows: int, seeds: int, rng: np.random.Generator) -> Vector:
    return rng.exponential(size=(rows, seeds)) - 1


def alike(rows: int, seeds: int, rng: np.random.Generator) -> Vector:
    shared = rng.normal(size=(rows, 3)) @ rng.normal(size=(3, seeds))
    drawn: Vector = (shared + 0.3 * rng.normal(size=(rows, seeds))) / np.sqrt(3.09)
    return drawn


NOISE: dict[str, Callable[[int, int, np.random.Generator], Vector]] = {
    "normal": normal,
    "t3": t3,
    "skew": skew,
    "alike": alike,
}


def tables(means: Vector, noise: str, seeds: int, draws: int) -> Iterator[Vector]:
    rng = np.random.default_rng(0)
    rows = len(means)
    for _ in range(draws):
        deviations = rng.permutation(np.geomspace(0.3, 3, rows))[:, None]
        effects = rng.normal(0, 2, seeds)
        yield means[:, None] + effects + deviations * NOISE[noise](rows, seeds, rng)


def stepped_down(table: Vector, observed: Vector, drawn: Vector) -> Pairs:
    """Pairs whose `observed` statistic (P,) the maxima of `drawn` (B, P) over the pairs left seldom reach."""
    order = np.argsort(-observed)
    drawn = drawn[:, order[::-1]]
    maxima = np.maximum.accumulate(drawn, axis=1, out=drawn)[:, ::-1]
    p = np.maximum.accumulate((maxima >= observed[order] * (1 - 1e-12)).mean(axis=0))
    i, j = (side[order[p <= LEVEL]] for side in np.triu_indices(len(table), k=1))
    first_is_better = table[i].mean(axis=1) > table[j].mean(axis=1)
    return np.where(first_is_better, i, j), np.where(first_is_better, j, i)


def differences(table: Vector) -> Vector:
    i, j = np.triu_indices(len(table), k=1)
    gaps: Vector = table[i] - table[j]  # (P, S)
    return gaps


def holm(table: Vector, rng: np.random.Generator) -> Pairs:
    return significant_pairs(table, level=LEVEL)


def flips(table: Vector, rng: np.random.Generator) -> Pairs:
    seeds = table.shape[1]
    if seeds <= ENUMERATED:  # the opposite of a flip gives the same |t|
        signs = 1.0 - 2 * (np.arange(2 ** (seeds - 1))[:, None] >> np.arange(seeds) & 1)
    else:
        signs = 1.0 - 2 * rng.integers(0, 2, size=(RESAMPLES, seeds))
        signs[0] = 1
    d = differences(table)
    # Flips leave Σ d² as it is, so that |Σ ± d| / √(Σ d²) orders them as |t| does
    drawn = np.abs(signs @ (d / np.linalg.norm(d, axis=1, keepdims=True)).T)  # (B, P)
    return stepped_down(table, drawn[0].copy(), drawn)


def csranks(table: Vector, rng: np.random.Generator) -> Pairs:
    d = differences(table)
    mean, centred = d.mean(axis=1), d - d.mean(axis=1, keepdims=True)
    scaled = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    seeds = table.shape[1]
    observed = np.abs(mean) / np.linalg.norm(centred, axis=1) * np.sqrt(seeds * (seeds - 1))
    # N(0, Σ̂) is what normal weights on the centred seeds give
    return stepped_down(table, observed, np.abs(rng.normal(size=(RESAMPLES, seeds)) @ scaled.T))


def gauss(table: Vector, rng: np.random.Generator) -> Pairs:
    seeds = table.shape[1]
    d = differences(table)
    centred = table - table.mean(axis=1, keepdims=True)
    i, j = np.triu_indices(len(table), k=1)
    drawn = np.empty((RESAMPLES, len(i)))
    for one in drawn:
        made = centred @ rng.normal(size=(seeds, seeds))  # (R, S)
        mean = made.mean(axis=1)
        gram = np.cov(made)
        variance = np.diag(gram)
        one[:] = np.abs(mean[i] - mean[j]) / np.sqrt((variance[i] + variance[j] - 2 * gram[i, j]) / seeds)
    observed = np.abs(d.mean(axis=1)) / (d.std(axis=1, ddof=1) / np.sqrt(seeds))
    return stepped_down(table, observed, drawn)


METHODS: dict[str, Callable[[Vector, np.random.Generator], Pairs]] = {
    "holm": holm,
    "flips": flips,
    "csranks": csranks,
    "gauss": gauss,
}


def sets(pairs: Pairs, rows: int) -> Pairs:
    """(R,) lower bounds, and upper ones."""
    better, worse = pairs
    return 1 + np.bincount(worse, minlength=rows), rows - np.bincount(better, minlength=rows)


def simulate(method: str, means: Vector, noise: str, seeds: int, draws: int) -> tuple[float, float, float]:
    rng = np.random.default_rng(1)
    rows = len(means)
    true = 1 + (means > means[:, None]).sum(axis=1)
    found = []
    for table in tables(means, noise, seeds, draws):
        better, worse = METHODS[method](table, rng)
        low, high = sets((better, worse), rows)
        covered = ((low <= true) & (true <= high)).all()
        wrong = (means[better] <= means[worse]).any()
        found.append((covered, wrong, (high - low + 1).mean() / rows))
    coverage, wrong, width = 100 * np.mean(found, axis=0)
    return float(coverage), float(wrong), float(width)


def boards(methods: list[str]) -> None:
    """Widths on the published boards, of the different rows that have all seeds.

    `skew` is the mean size of the differences' skewness: of normal ones .50 with 6 seeds, .48 with 8.
    """
    spec = load_spec(ROOT / "leaderboard.yaml")
    counted = select(spec, iter_records(ROOT / "results"))
    print(f"{'':<32}{'R':>5}{'S':>3}{'skew':>6}  mean width, rows not worse than the first")
    for name in spec.boards:
        by_row = [numbers for numbers in ranking_numbers(name, spec, counted).values() if len(numbers) > 1]
        most = max(map(len, by_row), default=0)
        by_row = [numbers for numbers in by_row if len(numbers) == most]
        column = next(c for c in spec.boards[name].columns if c.metric == spec.boards[name].rank_by)
        sign = 1 if column.better == "higher" else -1
        table = np.unique([[sign * x for x in numbers.values()] for numbers in by_row], axis=0)
        if len(table) < 2:
            continue
        skewness = np.nanmean(np.abs(stats.skew(differences(table), axis=1)))
        told = []
        for method in methods:
            better, worse = METHODS[method](table, np.random.default_rng(1))
            low, high = sets((better, worse), len(table))
            first = table.mean(axis=1).argmax()
            left = len(table) - np.count_nonzero(better == first)
            told.append(f"{method} {(high - low + 1).mean():6.1f} {left:4}")
        print(f"{name:<32}{len(table):5}{most:3}{skewness:6.2f}  {'   '.join(told)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=str(__doc__).split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["holm"])
    parser.add_argument("--rows", nargs="+", type=int, choices=DRAWS, default=list(DRAWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--means", nargs="+", choices=MEANS, default=MEANS)
    parser.add_argument("--noise", nargs="+", choices=NOISE, default=list(NOISE))
    parser.add_argument("--share", type=float, default=1.0, help="of the draws")
    parser.add_argument("--boards", action="store_true", help="the published boards in place of draws")
    args = parser.parse_args()
    if args.boards:
        boards(args.methods)
        return
    print(
        f"{'':<8}{'R':>4}{'S':>4} {'means':<7}{'noise':<7}{'draws':>6}{'coverage':>9}{'wrong':>7}{'width':>7}"
    )
    for rows, seeds, kind, noise, method in product(
        args.rows, args.seeds, args.means, args.noise, args.methods
    ):
        draws = max(2, round(args.share * DRAWS[rows]))
        coverage, wrong, width = simulate(method, means_of(kind, rows), noise, seeds, draws)
        print(f"{method:<8}{rows:4}{seeds:4} {kind:<7}{noise:<7}{draws:6}", end="")
        print(f"{coverage:9.1f}{wrong:7.1f}{width:7.1f}", flush=True)


if __name__ == "__main__":
    main()
