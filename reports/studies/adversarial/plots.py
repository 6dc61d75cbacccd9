"""Plots of the study `adversarial`: accuracy under attack, detectors under attack, and FSR's masks.

This module must not know how a figure looks or where it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmark.spec.leaderboard import Track
from benchmark.studies.adversarial.settings import Adversarial
from reports.boards.provenance import ranges
from reports.plots.figures import (
    COLOURS,
    WIDTH,
    draw_interval,
    draw_mean,
    file_name,
    finish,
    house_style,
    legend_above,
)
from reports.plots.sections import PlotSection
from reports.select import Counted
from reports.site.sections import Plot
from reports.studies.adversarial.numbers import attacks_sentence
from reports.studies.plots import (
    PERCENT,
    Lines,
    has_records,
    inits_in,
    of_backbones,
    on_track,
    row_style,
    words,
)
from reports.studies.select import Studied

ATTACKED = {  # by what moves: number of a detector, marker and colour
    "unmoved": ("auroc", {"marker": "o", "color": "#000000"}),
    "OOD moved": ("auroc_ood_attacked", {"marker": "v", "color": COLOURS[0]}),
    "ID moved": ("auroc_id_attacked", {"marker": "s", "color": COLOURS[1]}),
    "both moved": ("auroc_attacked", {"marker": "D", "color": COLOURS[2]}),
}
_TILE = 32  # channels beside one another, of a mask that has height and width
_NUMBER = re.compile(r"(?<![\w.])-?\d+(\.\d+)?(e[+-]?\d+)?%?(?!\w)")  # not within a name
_Curve = tuple[str, str, float]  # a series, the label of its axis, and the factor to its unit


def adversarial_plots(name: str, track: Track, counted: Counted) -> list[Plot]:
    """Accuracy against ε and against steps, detectors under attack, and masks, for each backbone."""
    plots: list[Plot] = []
    for backbone, study, lines in of_backbones(name, track, "adversarial", Adversarial, counted):
        attack = study.curves
        strength: list[_Curve] = [("accuracy_by_epsilon", "accuracy (%)", PERCENT)]
        steps: list[_Curve] = [
            *[("accuracy_by_steps", "accuracy (%)", PERCENT)],
            ("loss_by_steps", "loss", 1),
        ]
        title = f"{backbone}: accuracy under {attack} against its strength"
        plots += _curves(name, backbone, study, lines, "epsilon", strength, "ε × 255", 255, title)
        title = f"{backbone}: accuracy and loss under {attack} against its steps"
        plots += _curves(name, backbone, study, lines, "steps", steps, "steps", 1, title)
        plots += _detectors(name, backbone, study, lines)
        plots += _masks(name, backbone, lines)
    return plots


def adversarial_remarks(name: str, track: Track, counted: Counted) -> list[str]:
    """Which attacks there were, and what they warn of."""
    study = on_track(track, "adversarial", Adversarial)
    if study is None or not has_records(name, "adversarial", counted):
        return []
    warned = [f"{track.title}, a warning: {warning}" for warning in warnings(name, counted)]
    return [f"{track.title}: {attacks_sentence(study)}.", *warned]


def warnings(track: str, counted: Counted) -> list[str]:
    """What the attacks warn of, with the networks that it is about; the same but for numbers is said once."""
    said: dict[str, list[str]] = {}
    where: dict[str, dict[str, set[int]]] = {}
    for cell, found in counted.of_study("adversarial").items():
        if cell.track == track and isinstance(found, Studied):
            for warning in (one for record in found.records.values() for one in record.warnings):
                kind = _NUMBER.sub("", warning)
                said.setdefault(kind, []).append(warning)
                network = f"{cell.entry} on {cell.backbone} from {cell.init}"
                where.setdefault(kind, {}).setdefault(network, set()).add(cell.seed)
    sentences = []
    for kind, texts in said.items():
        alike = ", and the like with other numbers" if len(set(texts)) > 1 else ""
        networks = "; ".join(f"{network}, {_seeds(seeds)}" for network, seeds in where[kind].items())
        sentences.append(f"{texts[0]}{alike} ({networks})")
    return sentences


def _seeds(seeds: set[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {ranges(seeds)}"


def _curves(
    name: str,
    backbone: str,
    study: Adversarial,
    lines: Lines,
    over: str,
    curves: Sequence[_Curve],
    label: str,
    unit: float,
    title: str,
) -> list[Plot]:
    """A row of panels for each series, a column for each init, a line for each objective."""
    drawn = {
        key: seeds
        for key, found in lines.items()
        if (seeds := _with_series(found, [over, *(series for series, _, _ in curves)]))
    }
    if not drawn:
        return []
    inits = inits_in(study, drawn)
    spoken = []
    with house_style():
        figure = Figure(figsize=(WIDTH, 1.2 + 1.9 * len(curves)), layout="constrained")
        axes = figure.subplots(len(curves), len(inits), sharex=True, sharey="row", squeeze=False)
        for (row, init), seeds in drawn.items():
            c = inits.index(init)
            for r, (series, what, factor) in enumerate(curves):
                x = [unit * value for value in seeds[0][over]]
                by_seed = [[factor * value for value in found[series]] for found in seeds]
                means = draw_mean(axes[r, c], x, by_seed, words(row), row_style(study, row))
                spoken.append(
                    f"{what} of {row} from {init} ({len(seeds)}): {means[0]:.3g} to {means[-1]:.3g}"
                )
        for r, (_, what, factor) in enumerate(curves):
            axes[r, 0].set_ylabel(what)
            if factor == PERCENT:
                axes[r, 0].set_ylim(-3, 103)
        for c, init in enumerate(inits):
            axes[0, c].set_title(fill(words(init), 16))
            axes[-1, c].set_xlabel(label)
        legend_above(figure, list(axes.ravel()), 4)
        alt = (
            f"{title}, a panel for each init: mean over seeds with 95 % t intervals as bands. From the least "
            f"to the most, with the number of seeds: {'; '.join(spoken)}."
        )
        return [finish(figure, file_name("adversarial", name, backbone, over), title, alt)]


def _with_series(found: Sequence[Studied], series: Sequence[str]) -> list[dict[str, list[float]]]:
    """The series of the seeds that have all of them, at the x of the first one; without attack at ε = 0."""
    there = []
    for item in found:
        record = item.records[""]
        ours = {key: list(record.series.get(key, [])) for key in series}
        if series[0] == "epsilon" and ours["epsilon"] and ours["epsilon"][0] > 0:
            ours = {
                "epsilon": [0.0, *ours["epsilon"]],
                series[1]: [item.numbers["clean.accuracy"], *ours[series[1]]],
            }
        there.append(ours)
    whole = [one for one in there if all(one.get(key) for key in series)]
    return [one for one in whole if one[series[0]] == whole[0][series[0]]]


def _detectors(name: str, backbone: str, study: Adversarial, lines: Lines) -> list[Plot]:
    """AUROC of each attacked detector, near and far, before and after, a line for each network."""
    rows = list(lines)
    spoken = []
    panels = [
        (detector, group)
        for detector in study.detectors
        for group in ("near", "far")
        if any(
            f"detector.{detector}.{group}.auroc" in item.numbers for found in lines.values() for item in found
        )
    ]
    if not panels:
        return []
    with house_style():
        high = 0.55 + 0.19 * len(rows)
        count = -(-len(panels) // 2)
        figure = Figure(figsize=(WIDTH, 0.7 + high * count), layout="constrained")
        axes = figure.subplots(count, 2, sharex=True, sharey=True, squeeze=False).ravel()
        for axis, (detector, group) in zip(axes, panels, strict=False):
            for y, key in enumerate(rows):
                said = []
                for moved, (number, style) in ATTACKED.items():
                    metric = f"detector.{detector}.{group}.{number}"
                    values = [PERCENT * f.numbers[metric] for f in lines[key] if metric in f.numbers]
                    if values:
                        mean = draw_interval(axis, y, values, moved, {**style, "markersize": 4})
                        said.append(f"{mean:.1f} {moved}")
                spoken.append(f"{detector}, {group}, {key[0]} from {key[1]}: {', '.join(said)}")
            axis.axvline(50, color="#777777", linewidth=0.9, zorder=1)
            axis.set(title=f"{detector}, {group} OOD", xlim=(-3, 103))
        _name_rows(list(axes[::2]), [f"{words(row)}, {init}" for row, init in rows])
        for axis in axes[-2:]:
            axis.set_xlabel("AUROC (%)")
        legend_above(figure, axes[0], 4)
        title = f"{backbone}: AUROC when images are moved against the detector"
        alt = f"{title}: mean over seeds with 95 % t intervals; 50 is guessing. {'; '.join(spoken)}."
        return [finish(figure, file_name("adversarial", name, backbone, "detectors"), title, alt)]


def _name_rows(axes: Sequence[Axes], names: Sequence[str]) -> None:
    for axis in axes:
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(len(names) - 0.5, -0.5)


def _masks(name: str, backbone: str, lines: Lines) -> list[Plot]:
    """FSR's mask, mean over test images, of the first seed of each network: channels of others differ."""
    shown: list[tuple[str, Studied, NDArray[np.float64]]] = []
    for (row, init), found in lines.items():
        for item in found[:1]:
            series = item.records[""].series
            shape = [int(side) for side in series.get("fsr.mask_shape", [])]
            if len(shape) == 3 and len(series.get("fsr.mask", [])) == int(np.prod(shape)):
                mask = np.array(series["fsr.mask"]).reshape(shape)
                shown.append((f"{words(row)}, {init}, seed {item.cell.seed}", item, mask))
    if not shown:
        return []
    look: dict[str, Any] = {"vmin": 0, "vmax": 1, "cmap": "cividis", "interpolation": "nearest"}
    with house_style():
        flat = all(mask.shape[1:] == (1, 1) for _, _, mask in shown)
        pictures = [mask.reshape(1, -1) if flat else _tiled(mask) for _, _, mask in shown]
        ratio = 0.05 if flat else max(picture.shape[0] / picture.shape[1] for picture in pictures)
        figure = Figure(figsize=(WIDTH, 0.9 + (0.3 + 6.8 * ratio) * len(shown)), layout="constrained")
        axes = figure.subplots(len(shown), 1, squeeze=False).ravel()
        for axis, (label, _, _), picture in zip(axes, shown, pictures, strict=True):
            drawn = axis.imshow(picture, aspect="auto" if flat else "equal", **look)
            axis.set_title(label, loc="left", fontsize=8)
            axis.set_yticks([])
            axis.grid(visible=False)
            if not flat:
                axis.set_xticks([])
        if flat:
            axes[-1].set_xlabel("channel")
        bar: dict[str, Any] = {"location": "bottom", "fraction": 0.06, "aspect": 40, "shrink": 0.6}
        figure.colorbar(drawn, ax=list(axes), label="mean mask", **bar)
        spoken = "; ".join(
            f"{label}: mean {mask.mean():.2f}, {np.mean(mask > 0.5):.0%} of the elements above one half"
            for label, _, mask in shown
        )
        title = f"{backbone}: what feature separation keeps as robust"
        alt = (
            f"{title}: the mask of each {'channel' if flat else 'element, channels side by side'}, mean over "
            f"test images, 1 robust and 0 not. {spoken}."
        )
        return [finish(figure, file_name("adversarial", name, backbone, "masks"), title, alt)]


def _tiled(mask: NDArray[np.float64]) -> NDArray[np.float64]:
    """Channels (C, H, W) side by side in rows, with an empty line between them."""
    padded = np.pad(mask, ((0, -len(mask) % _TILE), (0, 1), (0, 1)), constant_values=np.nan)
    _, height, width = padded.shape
    rows = padded.reshape(-1, _TILE, height, width).transpose(0, 2, 1, 3)
    return np.asarray(rows.reshape(-1, _TILE * width)[:-1, :-1])


SECTION = PlotSection(
    "adversarial",
    "Adversarial examples",
    "Accuracy on test images that an attack has moved, and AUROC when images are moved against the detector: "
    "OOD images towards a higher score, ID images towards a lower one. Lines are means over seeds, bands and "
    "bars 95 % t intervals.",
    adversarial_plots,
    adversarial_remarks,
)
