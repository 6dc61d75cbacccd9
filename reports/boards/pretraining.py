"""Does pre-training help? Paired differences between each pre-trained init and training from scratch.

Pairs share a seed (spec/claims.md §0.1). A gain is positive where pre-training is better, also for metrics
where lower is better. These are per-comparison intervals; claims with declared tests are decided elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np

from benchmark.metrics.statistics import PairedDifference, paired_difference
from benchmark.spec.leaderboard import Column, Scratch, Spec
from reports.select import Counted, Found, Measured

CONDITIONAL = (
    "One pre-trained checkpoint is common to all seeds: the seeds vary only the fine-tuning, and every "
    "statement here is conditional on that checkpoint. It does not generalise over checkpoints."
)
CONFIRMATORY = 6  # seeds below which nothing more than an exploratory statement is made (spec/claims.md §0.1)

Verdict = Literal["better", "worse", "no clear difference", "not tested"]

_T1, _SCALED = "classification.calibration", "classification.calibration_scaled"
DETECTION = (
    Column(metric="near.auroc", title="Near AUROC", better="higher"),
    Column(metric="far.auroc", title="Far AUROC", better="higher"),
)
NETWORK = (
    Column(metric="classification.accuracy", title="Accuracy", better="higher"),
    Column(metric="robustness.accuracy", title="Robust accuracy", better="higher"),
    Column(metric=f"{_T1}.nll", title="NLL at T = 1", better="lower", percent=False),
    Column(metric=f"{_SCALED}.nll", title="NLL at T*", better="lower", percent=False),
    Column(metric=f"{_T1}.ece", title="ECE at T = 1", better="lower"),
    Column(metric=f"{_SCALED}.ece", title="ECE at T*", better="lower"),
    Column(metric=f"{_T1}.rms_calibration", title="RMS calibration at T = 1", better="lower"),
    Column(metric=f"{_SCALED}.rms_calibration", title="RMS calibration at T*", better="lower"),
)


@dataclass(frozen=True)
class Contrast:
    """A pre-trained init against scratch in one metric, over the seeds that both have."""

    backbone: str
    subject: str  # an entry, or the objective of a network
    metric: Column
    scratch: float
    pretrained: float
    gain: PairedDifference  # positive: pre-training is better

    @property
    def verdict(self) -> Verdict:
        """What the 95 % interval says."""
        if self.gain.n < 2:
            return "not tested"
        if self.gain.low > 0:
            return "better"
        return "worse" if self.gain.high < 0 else "no clear difference"


@dataclass(frozen=True)
class Comparison:
    """One pre-trained init of one track against scratch."""

    track: str
    init: str
    scratch: str  # the init that it is compared with
    detection: tuple[Contrast, ...]
    network: tuple[Contrast, ...]

    @property
    def exploratory(self) -> bool:
        """Whether any pairing has too few seeds for more than an indication."""
        return any(c.gain.n < CONFIRMATORY for c in (*self.detection, *self.network))

    @property
    def summary(self) -> list[str]:
        """One plain sentence a metric."""
        sentences = []
        for metric in (*DETECTION, *NETWORK):
            verdicts = Counter(c.verdict for c in (*self.detection, *self.network) if c.metric == metric)
            if verdicts:
                sentences.append(f"{metric.title}: {self.init} is {_phrase(verdicts, self.scratch)}.")
        return sentences


def compare_inits(spec: Spec, counted: Counted) -> list[Comparison]:
    """Compare every pre-trained init of every track with scratch, wherever both share a seed.

    Raises
    ------
    DataError
        If a record lacks one of the metrics.
    """
    comparisons = []
    for name, track in spec.tracks.items():
        cells = counted.of_track(name)
        by_entry: dict[tuple[str, str, str], dict[int, Found]] = {}
        by_network: dict[tuple[str, str, str], dict[int, list[Measured]]] = {}
        for cell, found in cells.items():
            if found.record.networks > 1:
                continue  # an ensemble takes the seeds of several networks: it pairs with none of them
            by_entry.setdefault((cell.init, cell.backbone, cell.entry), {})[cell.seed] = found
            network = cell.init, cell.backbone, found.file.objective
            several = by_network.setdefault(network, {}).setdefault(cell.seed, [])
            several.append(found)
        networks = {
            place: {seed: _of_most(entries) for seed, entries in by_seed.items()}
            for place, by_seed in by_network.items()
        }
        scratch = next((i for i in track.inits if isinstance(spec.inits[i], Scratch)), None)
        for init in track.inits:
            if scratch is None or isinstance(spec.inits[init], Scratch):
                continue
            detection = contrasts(by_entry, init, scratch, DETECTION)
            network_contrasts = contrasts(networks, init, scratch, NETWORK)
            if detection:
                comparisons.append(Comparison(name, init, scratch, detection, network_contrasts))
    return comparisons


def _of_most(entries: Sequence[Measured]) -> Measured:
    """The network that most entries stand on; entries of one network all say the same of it."""
    most = Counter(entry.checkpoints for entry in entries).most_common(1)[0][0]
    return next(entry for entry in entries if entry.checkpoints == most)


def contrasts(
    groups: Mapping[tuple[str, str, str], Mapping[int, Found]],
    init: str,
    scratch: str,
    metrics: tuple[Column, ...],
) -> tuple[Contrast, ...]:
    """Compare an init with scratch in each metric, wherever groups of both share a seed.

    Raises
    ------
    DataError
        If something measured lacks one of the metrics.
    """
    found = []
    for metric in metrics:
        for (group_init, backbone, subject), arm in groups.items():
            base = groups.get((scratch, backbone, subject), {})
            seeds = sorted(set(arm) & set(base))
            if group_init != init or not seeds:
                continue
            where = f"pre-trained against scratch, {metric.title}"
            pretrained = [arm[seed].number(metric.metric, where) for seed in seeds]
            control = [base[seed].number(metric.metric, where) for seed in seeds]
            arms = (pretrained, control) if metric.better == "higher" else (control, pretrained)
            gain = paired_difference(*arms, rng=np.random.default_rng(0))
            found.append(Contrast(backbone, subject, metric, fmean(control), fmean(pretrained), gain))
    return tuple(found)


def _phrase(verdicts: Counter[Verdict], scratch: str) -> str:
    words: dict[Verdict, str] = {
        "better": f"better than {scratch}",
        "worse": f"worse than {scratch}",
        "no clear difference": f"not clearly different from {scratch}",
        "not tested": f"not tested against {scratch}, with a single seed,",
    }
    parts = [f"{phrase} in {verdicts[verdict]}" for verdict, phrase in words.items() if verdicts[verdict]]
    total = verdicts.total()
    return f"{', '.join(parts)} of {total} comparison{'s' * (total > 1)}"
