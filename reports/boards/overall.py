"""Which entry is best on the whole: mean ranks over all tracks, backbones and inits, and who beats whom.

This module must not know how an ordering is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmark.spec.leaderboard import Spec
from reports.boards.explore import is_tuned
from reports.select import Counted, Measured

DRAWS = 2000
FEWEST = 20  # entries that a track must have for its settings to count
LEVEL = 0.95
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """A track, a backbone and an init, and what its entries have there."""

    track: str
    backbone: str
    init: str
    auroc: Mapping[str, Floats]  # by group of OOD sets: (E, S, N) of entries, sets and seeds

    @property
    def labels(self) -> tuple[str, ...]:
        """What it is, from the most to the least important part."""
        return self.track, self.backbone, self.init

    def means(self, group: str) -> Floats:
        """(E,) means over sets and seeds."""
        return np.asarray(self.auroc[group].mean(axis=(1, 2)))


@dataclass(frozen=True)
class Overall:
    """The entries that every setting has, the best first by mean rank of near AUROC."""

    entries: tuple[str, ...]
    settings: tuple[Setting, ...]
    datasets: tuple[str, ...]  # ID sets: the settings of one are no independent evidence
    rank: Mapping[str, Floats]  # by group: (E,) mean ranks
    interval: Mapping[str, Floats]  # by group: (2, E) bootstrap bounds
    by_setting: Floats  # (E, K) ranks by near AUROC
    beats: Floats  # (E, E) share of settings and seeds in which the row has the higher near AUROC


def overall(spec: Spec, counted: Counted) -> Overall | None:
    """Order the entries with published values on networks of cross-entropy; None where nothing can be.

    A setting counts where at least `FEWEST` such entries were measured; an entry counts that all settings
    have, in all seeds, on single networks. Ranks within a setting are by the mean AUROC over OOD sets that no
    weights of the track were trained on, and over seeds. Tracks weigh the same, and so do the settings of a
    track.

    The intervals are those of a bootstrap that draws tracks, then OOD sets of each group and seeds within a
    track, all with replacement; its settings share what is drawn. The generator is seeded: equal input gives
    equal intervals.
    """
    cells = _cells(spec, counted)
    settings = {key: rows for key, rows in cells.items() if len(rows) >= FEWEST}
    if not settings:
        return None
    shared = set.intersection(*(set(rows) for rows in settings.values()))
    entries = [entry for entry in spec.entries if entry in shared]
    if len(entries) < 2:
        return None
    made = [_setting(spec, key, [rows[entry] for entry in entries]) for key, rows in settings.items()]
    rank = {group: _mean_rank(made, group) for group in ("near", "far")}
    order = np.argsort(rank["near"], kind="stable")
    intervals = _bootstrap(made)
    return Overall(
        entries=tuple(entries[i] for i in order),
        settings=tuple(
            replace(one, auroc={group: values[order] for group, values in one.auroc.items()}) for one in made
        ),
        datasets=tuple(dict.fromkeys(spec.tracks[one.track].id.dataset for one in made)),
        rank={group: values[order] for group, values in rank.items()},
        interval={group: bounds[:, order] for group, bounds in intervals.items()},
        by_setting=np.stack([_ranks(one.means("near")) for one in made], axis=1)[order],
        beats=_beats(made)[np.ix_(order, order)],
    )


Key = tuple[str, str, str]


def _cells(spec: Spec, counted: Counted) -> dict[Key, dict[str, dict[int, Measured]]]:
    """By setting and entry, the seeds that have it; only entries that have all seeds of the setting."""
    found: dict[Key, dict[str, dict[int, Measured]]] = {}
    for cell, one in counted.measured.items():
        entry = spec.entries[cell.entry]
        plain = entry.objective == "cross_entropy" and not is_tuned(entry)
        single = one.networks == 1 and not one.transductive
        if plain and single and {"near", "far"} <= spec.tracks[cell.track].groups.keys():
            rows = found.setdefault((cell.track, cell.backbone, cell.init), {})
            rows.setdefault(cell.entry, {})[cell.seed] = one
    complete = {}
    for key, rows in found.items():
        seeds = set.union(*(set(by) for by in rows.values()))
        complete[key] = {entry: by for entry, by in rows.items() if set(by) == seeds}
    return complete


def _setting(spec: Spec, key: Key, rows: Sequence[Mapping[int, Measured]]) -> Setting:
    seen = next(iter(rows[0].values())).seen
    groups = spec.tracks[key[0]].groups
    auroc = {}
    for group in ("near", "far"):
        sets = [name for name in groups[group] if name not in seen] or list(groups[group])
        auroc[group] = np.array(
            [
                [
                    [found.numbers[f"detection.{name}.auroc"] for _, found in sorted(by.items())]
                    for name in sets
                ]
                for by in rows
            ]
        )
    return Setting(*key, auroc)


def _ranks(means: Floats) -> Floats:
    """1 is the highest; equal means share a rank."""
    return np.asarray(rankdata(-means, axis=-1))


def _mean_rank(settings: Sequence[Setting], group: str) -> Floats:
    by_track: dict[str, list[Floats]] = {}
    for one in settings:
        by_track.setdefault(one.track, []).append(_ranks(one.means(group)))
    return np.asarray(np.mean([np.mean(ranks, axis=0) for ranks in by_track.values()], axis=0))


def _bootstrap(settings: Sequence[Setting]) -> dict[str, Floats]:
    """By group: (2, E) bounds of the mean ranks."""
    generator = np.random.default_rng(0)
    tracks = list(dict.fromkeys(one.track for one in settings))
    drawn = generator.multinomial(len(tracks), [1 / len(tracks)] * len(tracks), size=DRAWS)
    found = {}
    for group in ("near", "far"):
        total = 0.0
        for t, track in enumerate(tracks):
            ours = [one.auroc[group] for one in settings if one.track == track]
            weights: dict[tuple[int, int], tuple[Floats, Floats]] = {}
            ranks = []
            for values in ours:
                _, sets, seeds = values.shape
                if (sets, seeds) not in weights:
                    weights[sets, seeds] = _weights(generator, sets), _weights(generator, seeds)
                of_sets, of_seeds = weights[sets, seeds]
                ranks.append(_ranks(np.einsum("esn,bs,bn->be", values, of_sets, of_seeds, optimize=True)))
            total = total + drawn[:, t, None] * np.mean(ranks, axis=0)
        tail = (1 - LEVEL) / 2
        found[group] = np.quantile(total / len(tracks), [tail, 1 - tail], axis=0)
    return found


def _weights(generator: np.random.Generator, n: int) -> Floats:
    """(DRAWS, n) how much of each draw is each of n things."""
    return np.asarray(generator.multinomial(n, [1 / n] * n, size=DRAWS) / n)


def _beats(settings: Sequence[Setting]) -> Floats:
    """(E, E) mean over settings of the share of seeds in which the row is higher; ties count half."""
    shares = []
    for one in settings:
        means = one.auroc["near"].mean(axis=1)  # (E, N)
        above = means[:, None] > means[None]
        level = means[:, None] == means[None]
        shares.append((above + level / 2).mean(axis=-1))
    return np.asarray(np.mean(shares, axis=0))
