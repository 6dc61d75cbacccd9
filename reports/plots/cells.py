"""Plots of the records, each with a text alternative that gives its main numbers.

Nothing in a table is read from a plot. This module must not know how a figure looks or where it is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmark.metrics.statistics import mean_interval
from benchmark.records.numbers import drawn
from benchmark.spec.leaderboard import Track
from benchmark.studies.detection.measurement import SEVERITIES, Reliability
from reports.plots.figures import (
    COLOURS,
    DASHES,
    WIDTH,
    file_name,
    finish,
    house_style,
    legend_above,
    line_style,
    panel_grid,
)
from reports.plots.sections import PlotSection
from reports.select import Counted, Measured
from reports.site.sections import Plot

GROUPS = (("histogram_id", "ID"), ("histogram_near", "near OOD"), ("histogram_far", "far OOD"))
PERCENT = 100

Panels = tuple[str, str, Mapping[str, Mapping[int, Measured]]]  # a metric, its label, the seeds of each line


def reliability(name: str, track: Track, counted: Counted) -> list[Plot]:
    """Accuracy against confidence of each backbone, pooled over seeds, every init in one diagram."""
    plots = []
    for (backbone, objective), inits in _networks(name, counted).items():
        with house_style():
            figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
            axes = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3.2, 1))
            spoken = []
            for i, (init, seeds) in enumerate((i, inits[i]) for i in track.entry_inits if i in inits):
                style = line_style(track.entry_inits.index(init))
                for column, scaled in enumerate((False, True)):
                    pooled = pool_bins([_reliability(found, scaled) for found in seeds.values()])
                    _draw_reliability(axes[0, column], axes[1, column], pooled, init, style, i)
                before, after = (
                    fmean(
                        found.numbers[f"classification.calibration{suffix}.ece"] for found in seeds.values()
                    )
                    for suffix in ("", "_scaled")
                )
                spoken.append(
                    f"{init} ({_seeds(seeds)}): mean ECE {before:.1%} at T = 1 and {after:.1%} at T*"
                )
            for column, title in enumerate(("T = 1", "T* (fitted on ID validation)")):
                axes[0, column].plot((0, PERCENT), (0, PERCENT), color="#777777", linewidth=0.9, zorder=1)
                axes[0, column].set(title=title, xlim=(0, 102), ylim=(0, 104))
                axes[1, column].set(xlabel="confidence (%)", ylim=(0, PERCENT))
            axes[0, 0].set_ylabel("accuracy (%)")
            axes[1, 0].set_ylabel("images (%)")
            legend_above(figure, axes[0, 0], 4)
            alt = (
                f"Reliability diagrams of {_network(backbone, objective)}: accuracy against mean confidence, "
                "pooled over seeds, at T = 1 and at T*; the diagonal is perfect calibration. "
                f"{'; '.join(spoken)}."
            )
            file = file_name("reliability", name, backbone, objective)
            plots.append(finish(figure, file, _network(backbone, objective), alt))
    return plots


def histograms(name: str, track: Track, counted: Counted) -> list[Plot]:
    """Scores of ID, near-OOD and far-OOD images of each entry, for one seed of each backbone and init."""
    plots = []
    for (backbone, init), entries in _by_network_and_entry(name, counted).items():
        available = [seed for seeds in entries.values() for seed in seeds]
        seed = max(sorted(set(available)), key=available.count)
        shown = {entry: seeds[seed] for entry, seeds in entries.items() if seed in seeds}
        with house_style():
            figure, axes = panel_grid(len(shown), columns=3, height=1.75)
            for axis, (entry, found) in zip(axes, shown.items(), strict=True):
                curves = found.drawn.curves
                heights = [PERCENT * np.asarray(getattr(curves, field)) for field, _ in GROUPS]
                top = 1.15 * max(one[1:-1].max() for one in heights)
                for i, (_, label) in enumerate(GROUPS):
                    fill = i == 0
                    axis.stairs(
                        heights[i],
                        curves.score_edges,
                        fill=fill,
                        label=label,
                        color="#9CC3E0" if fill else (COLOURS[0], "#000000")[i - 1],
                        linestyle=DASHES[0 if i < 2 else 1],
                        linewidth=1.3,
                    )
                    beyond(axis, heights[i], top, i)
                axis.set(title=entry, ylim=(0, top or 1))
                axis.locator_params(nbins=4)
                axis.grid(visible=False)
            figure.supxlabel(
                "score (higher = more in-distribution); the bars at both ends hold what lies beyond"
            )
            figure.supylabel("images (%)")
            legend_above(figure, axes[0], 3)
            spoken = "; ".join(_auroc(entry, [found]) for entry, found in shown.items())
            alt = (
                f"Histograms of the scores of ID, near-OOD and far-OOD images for {backbone} from {init}, "
                f"seed {seed}, a panel for each entry. AUROC: {spoken}."
            )
            title = f"{backbone}, {init}, seed {seed}"
            plots.append(finish(figure, file_name("histograms", name, backbone, init), title, alt))
    return plots


def beyond(axis: Axes, heights: NDArray[np.float64], top: float, line: int) -> None:
    """Write the share in a bar at an end that is higher than the panel."""
    for end, side, where in ((0, "left", 0.12), (-1, "right", 0.88)):
        if heights[end] > top:
            colour = ("#1f5c8a", COLOURS[0], "#000000")[line]
            said, place = f"↑ {heights[end]:.0f} %", (where, 0.9 - 0.13 * line)
            axis.text(*place, said, transform=axis.transAxes, ha=side, fontsize=7, color=colour)


def roc_curves(name: str, track: Track, counted: Counted) -> list[Plot]:
    """True against false positive rate, mean over seeds, a line for each entry of a backbone and init."""
    plots = []
    for (backbone, init), entries in _by_network_and_entry(name, counted).items():
        with house_style():
            figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
            axes = figure.subplots(1, 2, sharey=True)
            for axis, group in zip(axes, ("near", "far"), strict=True):
                axis.plot((0, PERCENT), (0, PERCENT), color="#777777", linewidth=0.9, zorder=1)
                for entry, seeds in entries.items():
                    grid = np.asarray(next(iter(seeds.values())).drawn.curves.fpr)
                    curves = [found.drawn.curves for found in seeds.values()]
                    tpr = np.mean(
                        [np.interp(grid, c.fpr, getattr(c, f"tpr_{group}")) for c in curves], axis=0
                    )
                    style, label = line_style(track.entries.index(entry)), _legend(entry, seeds.values())
                    axis.plot(PERCENT * grid, PERCENT * tpr, label=label, **style)
                axis.set(title=f"{group} OOD", xlim=(0, PERCENT), ylim=(0, 101))
                axis.set_xlabel("OOD images let through (%)")
            axes[0].set_ylabel("ID images kept (%)")
            legend_above(figure, axes[0], 3)
            spoken = "; ".join(_auroc(entry, seeds.values()) for entry, seeds in entries.items())
            alt = (
                f"ROC curves of {backbone} from {init}, mean over seeds, near OOD and far OOD, "
                f"a line for each entry. Mean AUROC: {spoken}."
            )
            file = file_name("roc", name, backbone, init)
            plots.append(finish(figure, file, f"{backbone}, {init}", alt))
    return plots


def robustness(name: str, track: Track, counted: Counted) -> list[Plot]:
    """Accuracy and ECE of each network, and near AUROC of its entries, against the severity of each shift."""
    plots: list[Plot] = []
    if track.shifts is None:
        return plots
    for (backbone, objective), inits in _networks(name, counted).items():
        networks: list[Panels] = [("accuracy", "accuracy (%)", inits), ("ece", "ECE (%)", inits)]
        what = f"Accuracy and ECE of {_network(backbone, objective)}"
        file = file_name("robustness", name, backbone, objective)
        plots.append(_severity_plot(file, what, track, networks, track.entry_inits, bands=True))
    by_backbone: dict[str, list[Panels]] = {}
    for (backbone, init), entries in _by_network_and_entry(name, counted).items():
        by_backbone.setdefault(backbone, []).append(("auroc_near", init, entries))
    for backbone, rows in by_backbone.items():
        what = f"Near AUROC (%) of the entries on {backbone}"
        file = file_name("robustness_detection", name, backbone)
        plots.append(_severity_plot(file, what, track, rows, track.entries, bands=False))
    return plots


def _severity_plot(
    file: str,
    what: str,
    track: Track,
    rows: Sequence[Panels],
    order: Sequence[str],
    *,
    bands: bool,
) -> Plot:
    """Rows of panels, a column for each shift; `order` gives the lines their places and styles."""
    shifts = track.shifts.kinds if track.shifts else []
    with house_style():
        figure = Figure(figsize=(WIDTH, 0.9 + 1.9 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), len(shifts), sharex=True, sharey="row", squeeze=False)
        spoken = []
        for r, (metric, label, lines) in enumerate(rows):
            for (c, shift), line in product(enumerate(shifts), order):
                if line in lines:
                    style = line_style(order.index(line))
                    seeds = lines[line].values()
                    ends = _draw_severities(axes[r, c], seeds, shift, metric, line, style, bands=bands)
                    spoken.append(f"{label}, {shift}, {line}: {ends[0]:.1f} to {ends[1]:.1f}")
            axes[r, 0].set_ylabel(label)
            axes[r, 0].locator_params(axis="y", nbins=4)
        for c, shift in enumerate(shifts):
            axes[0, c].set_title(shift.replace("_", " "))
            axes[-1, c].set(xlabel="severity", xticks=list(SEVERITIES))
        figure.align_ylabels(axes[:, 0])
        legend_above(figure, axes[0, 0], 4)
        alt = (
            f"{what} against the severity of each shift, mean over seeds"
            f"{' with 95 % t intervals as bands' if bands else ''}. "
            f"From severity 0 to {SEVERITIES[-1]}: {'; '.join(spoken)}."
        )
        return finish(figure, file, what, alt)


def _draw_severities(
    axis: Axes,
    seeds: Iterable[Measured],
    shift: str,
    metric: str,
    label: str,
    style: dict[str, Any],
    *,
    bands: bool,
) -> tuple[float, float]:
    """Draw one line, with its band; returns its first and last value."""
    by_seed = [[PERCENT * getattr(s, metric) for s in f.drawn.robustness[shift]] for f in seeds]
    intervals = [mean_interval(level) for level in zip(*by_seed, strict=True)]
    means = [interval.mean for interval in intervals]
    axis.plot(SEVERITIES, means, label=label, marker="o", markersize=3, **style)
    if bands and len(by_seed) > 1:
        low, high = [i.low for i in intervals], [i.high for i in intervals]
        axis.fill_between(SEVERITIES, low, high, color=style["color"], alpha=0.16, linewidth=0)
    return means[0], means[-1]


def pool_bins(parts: Sequence[Reliability]) -> Reliability:
    """One reliability diagram of several seeds: bins of the same edges are averaged by their counts."""
    pooled: dict[tuple[float, float], list[tuple[int, float, float]]] = {}
    for part in parts:
        edges = zip(part.lower, part.upper, strict=True)
        values = zip(part.count, part.confidence, part.accuracy, strict=True)
        for edge, value in zip(edges, values, strict=True):
            pooled.setdefault(edge, []).append(value)
    columns = zip(*(zip(*pooled[edge], strict=True) for edge in sorted(pooled)), strict=True)
    counts, confidences, accuracies = (list(column) for column in columns)
    return Reliability(
        lower=[lower for lower, _ in sorted(pooled)],
        upper=[upper for _, upper in sorted(pooled)],
        count=[sum(count) for count in counts],
        confidence=drawn([float(np.average(c, weights=w)) for c, w in zip(confidences, counts, strict=True)]),
        accuracy=drawn([float(np.average(a, weights=w)) for a, w in zip(accuracies, counts, strict=True)]),
    )


def _draw_reliability(
    above: Axes, below: Axes, pooled: Reliability, label: str, style: dict[str, Any], offset: int
) -> None:
    """Accuracy against confidence, with small marks for bins of few images, and below it their shares."""
    share = np.asarray(pooled.count) / sum(pooled.count)
    confidence, accuracy = PERCENT * np.asarray(pooled.confidence), PERCENT * np.asarray(pooled.accuracy)
    above.plot(confidence, accuracy, alpha=0.7, **{**style, "linewidth": 1.1})
    above.scatter(
        confidence,
        accuracy,
        s=6 + 110 * np.sqrt(share),
        color=style["color"],
        alpha=0.85,
        linewidth=0,
        label=label,
    )
    middle = PERCENT * (np.asarray(pooled.lower) + np.asarray(pooled.upper)) / 2
    below.bar(middle + (offset - 0.5) * 1.8, PERCENT * share, width=1.8, color=style["color"])


def _reliability(found: Measured, scaled: bool) -> Reliability:
    classification = found.drawn.classification
    return classification.reliability_scaled if scaled else classification.reliability


def _networks(name: str, counted: Counted) -> dict[tuple[str, str], dict[str, dict[int, Measured]]]:
    """Backbone and objective → init → seed: one record for each network, whichever entry it is of."""
    found: dict[tuple[str, str], dict[str, dict[int, Measured]]] = {}
    for cell, measured in counted.of_track(name).items():
        inits = found.setdefault((cell.backbone, measured.objective), {})
        inits.setdefault(cell.init, {}).setdefault(cell.seed, measured)
    return found


def _by_network_and_entry(
    name: str, counted: Counted
) -> dict[tuple[str, str], dict[str, dict[int, Measured]]]:
    """Backbone and init → entry → seed."""
    found: dict[tuple[str, str], dict[str, dict[int, Measured]]] = {}
    for cell, measured in counted.of_track(name).items():
        entries = found.setdefault((cell.backbone, cell.init), {})
        entries.setdefault(cell.entry, {})[cell.seed] = measured
    return found


def _auroc(entry: str, seeds: Iterable[Measured]) -> str:
    near, far = _aurocs(seeds)
    return f"{entry} near {near:.1f}, far {far:.1f}"


def _legend(entry: str, seeds: Iterable[Measured]) -> str:
    """An entry with its AUROC by near and by far OOD images."""
    near, far = _aurocs(seeds)
    return f"{entry} {near:.1f} / {far:.1f}"


def _aurocs(seeds: Iterable[Measured]) -> tuple[float, float]:
    """×100, means over seeds."""
    near, far = zip(*((f.numbers["near.auroc"], f.numbers["far.auroc"]) for f in seeds), strict=True)
    return PERCENT * fmean(near), PERCENT * fmean(far)


def _seeds(seeds: Mapping[int, Measured]) -> str:
    return "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"


def _network(backbone: str, objective: str) -> str:
    return f"{backbone}, {objective.replace('_', ' ')}"


SECTIONS = (
    PlotSection(
        "reliability",
        "Reliability",
        "How often the network is right when it is so and so confident, pooled over seeds. Dots below the "
        "diagonal are overconfident; small dots are bins with few images. The bars below are the share of "
        "the test images in each bin.",
        reliability,
    ),
    PlotSection(
        "histograms",
        "Score histograms",
        "Scores of the test images for one seed. The less the OOD lines overlap with the filled ID area, the "
        "better; scales differ between entries.",
        histograms,
        short="Scores",
    ),
    PlotSection(
        "roc",
        "ROC curves",
        "The share of ID images kept against the share of OOD images let through, mean over seeds; beside a "
        "name its AUROC on near and on far OOD images.",
        roc_curves,
        short="ROC",
    ),
    PlotSection(
        "robustness",
        "Robustness to shift",
        "ID test images under a shift of rising severity; 0 is unshifted. Lines are means over seeds; where "
        "there are bands, they are 95 % t intervals. The near OOD images are not shifted.",
        robustness,
        short="Robustness",
    ),
)
