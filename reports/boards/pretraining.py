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
from benchmark.spec.leaderboard import Column, Spec
from benchmark.spec.networks import Scratch
from reports.select import Counted, Found, Measured
from reports.site.cells import Labels, Number, Range
from reports.site.cells import Metric as Measure
from reports.site.numbers import p_value
from reports.site.sections import Bullets, Paragraph, Section, Table
from reports.site.sections import Column as Head
from reports.site.sections import Row as Line
from reports.site.text import Span, italic, soft, strong

CONDITIONAL = (
    "One pre-trained checkpoint is common to all seeds: the seeds vary only the fine-tuning, and every "
    "statement here is conditional on that checkpoint. It does not generalise over checkpoints."
)
CONFIRMATORY = 6  # seeds below which nothing more than an exploratory statement is made (spec/claims.md §0.1)

Verdict = Literal["better", "worse", "no clear difference", "not tested"]

_T1, _SCALED = "classification.calibration", "classification.calibration_scaled"
DETECTION = (  # over sets that no weights were trained on
    Column(metric="unseen.near.auroc", title="Near AUROC", better="higher"),
    Column(metric="unseen.far.auroc", title="Far AUROC", better="higher"),
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
            network = cell.init, cell.backbone, found.objective
            several = by_network.setdefault(network, {}).setdefault(cell.seed, [])
            several.append(found)
        networks = {
            place: {seed: _of_most(entries) for seed, entries in by_seed.items()}
            for place, by_seed in by_network.items()
        }
        scratch = next(
            (i for i in track.entry_inits if isinstance(spec.first_weights(name, i), Scratch)), None
        )
        for init in track.entry_inits:
            if scratch is None or isinstance(spec.first_weights(name, init), Scratch):
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


def pretraining_section(comparisons: Sequence[Comparison], spec: Spec) -> Section | None:
    """Every comparison with its tables; None where there is none."""
    if not comparisons:
        return None
    about = Paragraph(
        (
            "Does pre-training help? Differences are taken within each seed, and a positive gain always "
            "means that pre-training is better, also where lower is better. ",
            italic("p"),
            " is the one-sided exact sign-flip test of “the gain is positive”; near 1 it speaks for scratch. "
            "“Better” and “worse” mean that the 95 % ",
            italic("t"),
            " interval of the gain excludes zero; each comparison stands by itself, without adjustment for "
            "their number.",
        )
    )
    return Section(
        "pretraining",
        "Pre-trained against scratch",
        (about, Paragraph(CONDITIONAL)),
        tuple(_section(f"comparison-{i}", one, spec) for i, one in enumerate(comparisons, start=1)),
    )


def _section(id: str, comparison: Comparison, spec: Spec) -> Section:
    arms = comparison.init, comparison.scratch
    return Section(
        "",
        f"{comparison.init} against {comparison.scratch}: {spec.tracks[comparison.track].title}",
        (
            *exploratory("comparisons", comparison.exploratory),
            Bullets(tuple(comparison.summary)),
            contrast_table(f"{id}-detection", "OOD detection", comparison.detection, *arms),
            contrast_table(
                f"{id}-network", "The network itself, whatever the detector", comparison.network, *arms
            ),
            Paragraph(
                "Robust accuracy is the mean over all shifts and severities 1 to 5. T* is fitted on ID "
                "validation images.",
                small=True,
            ),
        ),
        track=comparison.track,
    )


def exploratory(what: str, few: bool, *, small: bool = False) -> tuple[Paragraph, ...]:
    """What is said where some of `what` have too few seeds."""
    text = strong("Exploratory:"), f" some {what} have fewer than {CONFIRMATORY} seeds."
    return (Paragraph(text, small=small),) if few else ()


def contrast_table(id: str, title: str, rows: Sequence[Contrast], init: str, scratch: str) -> Table:
    """A table of gains, one metric after the other."""
    return Table(
        columns=(
            Head("Network", "text"),
            Head("Metric", "text"),
            Head("Gain"),
            Head("95 % interval"),
            Head(f"{init} is", "text"),
            Head(scratch),
            Head(init),
            Head((italic("p"), " (gain > 0)")),
            Head("Seeds"),
        ),
        rows=tuple(
            _line(row, parted=i > 0 and row.metric.metric != rows[i - 1].metric.metric)
            for i, row in enumerate(rows)
        ),
        id=id,
        title=title,
        aside=f"{init} against {scratch}, paired by seed",
    )


def _line(row: Contrast, *, parted: bool) -> Line:
    percent, gain, several = row.metric.percent, row.gain, row.gain.n > 1
    return Line(
        (
            Labels((row.backbone, row.subject)),
            Measure(row.metric.title, row.metric.better),
            Number(gain.mean, percent, signed=True),
            Range(gain.low, gain.high, percent) if several else None,
            (Span(row.verdict, row.verdict) if row.verdict in ("better", "worse") else soft(row.verdict),),
            Number(row.scratch, percent),
            Number(row.pretrained, percent),
            p_value(gain.p_sign_flip) if several else None,
            gain.n,
        ),
        parted,
    )
