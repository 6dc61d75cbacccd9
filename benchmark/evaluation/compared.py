"""What scores say: which detector to use, at which threshold, and how far to trust it.

Everything here is a pure function of scores. Of one model there are no seeds: intervals and comparisons are
over its images alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmark.evaluation.outcome import (
    Against,
    Detected,
    DetectorOutcome,
    Drawn,
    Interval,
    Recommendation,
    Selective,
    Threshold,
)
from benchmark.metrics.best import against_best
from benchmark.metrics.bounds import Bounds
from benchmark.metrics.cells import FPR_GRID, HISTOGRAM_BINS
from benchmark.metrics.delong import Aurocs, Difference, delong
from benchmark.metrics.detection import roc_at, selective_risk
from benchmark.metrics.precision import average_precision
from benchmark.metrics.resampled import resampled_fpr95
from benchmark.metrics.shares import accepted_share, keeping
from benchmark.studies.detection.measurement import GROUPS, Group
from methods.base import Detector

SHARES = (0.8, 0.9, 0.95, 0.99)  # of ID images kept, for which thresholds are told besides the wanted one
POINTS = 200  # of a risk-coverage curve
RULE = (
    "the best mean AUROC over near and far OOD sets among the detectors that cost at most {budget:g} forward "
    "passes; of those that are not significantly worse (paired by images, Holm, 5 %), the "
    "cheapest to a tenth of a pass, and of equally cheap ones the one with the best mean"
)

Scores = Mapping[str, NDArray[np.float64]]  # by detector (N,)


class Compared:
    """All that is computed of scores.

    Parameters
    ----------
    detectors
        Fitted, by name.
    test
        Scores of ID test images by detector.
    ood
        Of each OOD set, its group and the same.
    errors
        (N,) which ID test images are classified wrongly; None without labels.
    costs, fit_seconds
        By detector, in forward passes and in seconds.
    seed
        Of the bootstrap.
    """

    def __init__(
        self,
        detectors: Mapping[str, Detector],
        test: Scores,
        ood: Mapping[str, tuple[Group, Scores]],
        errors: NDArray[np.bool_] | None,
        costs: Mapping[str, float],
        fit_seconds: Mapping[str, float],
        seed: int,
    ) -> None:
        self._detectors, self._test, self._ood, self._errors = detectors, test, ood, errors
        self._costs, self._fit_seconds, self._seed = costs, fit_seconds, seed
        self.names = list(detectors)
        self._aurocs: Aurocs = delong(
            np.stack([test[name] for name in self.names]),
            [np.stack([scores[name] for name in self.names]) for _, scores in ood.values()],
        )
        self._means = self._aurocs.means(self._weights())

    @property
    def order(self) -> list[int]:
        """Detectors by their mean, the best first; of equals the first is `against_best`'s best."""
        return sorted(range(len(self.names)), key=lambda d: -self._means[d])

    def detected(self) -> tuple[DetectorOutcome, ...]:
        """Every detector, the best mean first."""
        _, against = against_best(self._aurocs, self._weights())
        of = {group: self._intervals(group) for group in GROUPS}
        mean = self._aurocs.intervals(self._weights())
        sets = self._sets()
        made = []
        for d in self.order:
            name = self.names[d]
            one = against[d]
            near, far = (None if of[group] is None else _interval(of[group][d]) for group in GROUPS)  # type: ignore[index]
            detector = self._detectors[name]
            made.append(
                DetectorOutcome(
                    name=name,
                    title=(type(detector).__doc__ or name).partition("\n")[0],
                    hyperparameters=detector.hyperparameters(),
                    needs=detector.requires,
                    sets={title: one[d] for title, one in sets.items()},
                    near=near,
                    far=far,
                    mean=_interval(mean[d]),
                    aurc=None
                    if self._errors is None
                    else selective_risk(self._test[name], self._errors).aurc,
                    cost=self._costs[name],
                    fit_seconds=self._fit_seconds[name],
                    against_best=Against(
                        difference=_interval(one.difference),
                        p=one.difference.p,
                        p_holm=one.p_holm,
                        verdict=one.standing,
                    ),
                )
            )
        return tuple(made)

    def recommended(self, detected: Sequence[DetectorOutcome], budget: float) -> Recommendation:
        """Which to use by the rule; where none is within the budget, of all of them, and it says so.

        Costs are measured and never twice the same: what they differ by below a tenth decides nothing.
        """
        rule = RULE.format(budget=budget)
        within = [one for one in detected if one.cost <= budget]
        said = ""
        if not within:
            cheapest = min(detected, key=lambda one: one.cost)
            said = (
                f"; none costs so little (the cheapest, {cheapest.name}, {cheapest.cost:.3g}): of all of them"
            )
            within = list(detected)
        ties = self._ties(within)
        chosen = min(ties, key=lambda one: (round(one.cost, 1), -one.mean.value, one.name))
        best = within[0]
        why = f"{chosen.name}: mean AUROC {_points(chosen.mean)}, {chosen.cost:.3g} forward passes"
        if chosen is not best:
            why += f"; {best.name} has {_points(best.mean)} at {best.cost:.3g}, not significantly more"
        return Recommendation(
            name=chosen.name,
            budget=budget,
            rule=rule,
            why=why + said,
            ties=tuple(one.name for one in ties if one is not chosen),
        )

    def _ties(self, within: Sequence[DetectorOutcome]) -> list[DetectorOutcome]:
        """Those that are not significantly worse than the best of them."""
        at = [self.names.index(one.name) for one in within]
        _, against = against_best(self._among(at), self._weights())
        return [one for one, found in zip(within, against, strict=True) if found.standing != "worse"]

    def _among(self, at: Sequence[int]) -> Aurocs:
        """Of some detectors alone."""
        one = self._aurocs
        id_part, ood_parts = one.id_part[at][:, :, at], one.ood_parts[:, at][:, :, at]
        return replace(one, values=one.values[at], id_part=id_part, ood_parts=ood_parts)

    def thresholds(self, name: str, val: NDArray[np.float64], keep: float) -> tuple[Threshold, ...]:
        """Where a detector's score is cut for the wanted share of ID images, and for a few usual ones."""
        test = self._test[name]
        made = []
        for share in (keep, *(one for one in SHARES if one != keep)):
            at = keeping(val, share)
            kept = test >= at
            right = None
            if self._errors is not None and kept.any():
                right = _interval(accepted_share((~self._errors[kept]).astype(float), 0.5))
            made.append(
                Threshold(
                    keep=share,
                    threshold=at,
                    n_val=len(val),
                    kept=_interval(accepted_share(test, at)),
                    passed={
                        title: _interval(accepted_share(scores[name], at))
                        for title, (_, scores) in self._ood.items()
                    },
                    accuracy_kept=right,
                )
            )
        return tuple(made)

    def selective(self, name: str) -> Selective | None:
        """Accuracy against coverage when ID test images are rejected by a score."""
        if self._errors is None:
            return None
        order = np.argsort(-self._test[name], kind="stable")
        n = len(order)
        risk = np.cumsum(self._errors[order]) / np.arange(1, n + 1)
        at = np.unique(np.linspace(0, n - 1, min(POINTS, n)).round().astype(int))
        return Selective(
            coverage=((at + 1) / n).tolist(),
            risk=risk[at].tolist(),
            aurc=selective_risk(self._test[name], self._errors).aurc,
        )

    def drawn(self, name: str) -> Drawn:
        """What plots of a detector need."""
        sets = {title: scores[name] for title, (_, scores) in self._ood.items()}
        test = self._test[name]
        low, high = np.quantile(np.concatenate([test, *sets.values()]), [0.005, 0.995])
        margin = 0.05 * (high - low) or 1.0
        edges = np.linspace(low - margin, high + margin, HISTOGRAM_BINS + 1)
        return Drawn(
            edges=edges.tolist(),
            histograms={
                title: (np.histogram(np.clip(s, edges[0], edges[-1]), edges)[0] / len(s)).tolist()
                for title, s in {"id": test, **sets}.items()
            },
            fpr=FPR_GRID.tolist(),
            tpr={title: roc_at(test, s, FPR_GRID).tolist() for title, s in sets.items()},
        )

    def _weights(self, group: str | None = None) -> NDArray[np.float64]:
        """(S,): near and far count alike, and the sets of a group alike; of one group alone its sets."""
        groups = [one for one, _ in self._ood.values()]
        there = [one for one in GROUPS if one in groups] if group is None else [group]
        return np.array([1 / groups.count(one) / len(there) if one in there else 0.0 for one in groups])

    def _intervals(self, group: str) -> list[Bounds] | None:
        if not any(one == group for one, _ in self._ood.values()):
            return None
        return self._aurocs.intervals(self._weights(group))

    def _sets(self) -> dict[str, list[Detected]]:
        """By OOD set, every detector on it."""
        alone = np.eye(len(self._ood))
        aurocs = [self._aurocs.intervals(one) for one in alone]
        found: dict[str, list[Detected]] = {title: [] for title in self._ood}
        for d, name in enumerate(self.names):
            test, ood = self._test[name], [scores[name] for _, scores in self._ood.values()]
            fpr = resampled_fpr95(test, ood, np.random.default_rng(self._seed))
            precision = average_precision(test, ood), average_precision(test, ood, id_positive=False)
            for s, (title, (group, _)) in enumerate(self._ood.items()):
                inside, outside = (_interval(one.interval(alone[s])) for one in precision)
                found[title].append(
                    Detected(
                        group=group,
                        auroc=_interval(aurocs[s][d]),
                        fpr95=_interval(fpr.interval(alone[s])),
                        aupr_in=inside,
                        aupr_out=outside,
                    )
                )
        return found


def _interval(bounds: Bounds | Difference) -> Interval:
    return Interval(value=bounds.value, low=bounds.low, high=bounds.high)


def _points(interval: Interval) -> str:
    return f"{100 * interval.value:.2f} ({100 * interval.low:.2f} to {100 * interval.high:.2f})"
