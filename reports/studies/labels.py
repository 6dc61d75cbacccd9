"""Plots of the studies `label_noise` and `imbalance`: test errors of ways to train on bad training sets.

This module must not know how a figure looks or where it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from benchmark.spec.leaderboard import Track
from benchmark.spec.studies import Imbalance, LabelNoise, Study, StudyName
from reports.plots.figures import (
    COLOURS,
    WIDTH,
    draw_interval,
    draw_mean,
    file_name,
    finish,
    house_style,
    legend_above,
    panel_grid,
)
from reports.plots.sections import PlotSection
from reports.select import Counted
from reports.site.sections import Plot
from reports.studies.numbers import parse_noise
from reports.studies.plots import (
    PERCENT,
    Lines,
    has_records,
    inits_in,
    line_style_of,
    of_backbones,
    row_style,
    words,
)
from reports.studies.select import Studied

MARKERS = "osD^v"
PARTS = "total", "minority"  # errors under imbalance


def _remarks(study: StudyName, name: str, track: Track, counted: Counted) -> list[str]:
    if not has_records(name, study, counted):
        return []
    return [f"{track.title}: {means_sentence(*counted.studies.grids[name, study])}."]


def means_sentence(names: Sequence[str], strengths: Sequence[float]) -> str:
    """What areas and means are over: noises and their strengths, or long tails."""
    if not strengths:
        return f"means are over the long tails {', '.join(names)}"
    return (
        f"areas and means are over {', '.join(names)} at strengths {', '.join(f'{p:g}' for p in strengths)}"
    )


def noise_plots(name: str, track: Track, counted: Counted) -> list[Plot]:
    """Error against the strength of each noise, and test error over epochs, for each backbone."""
    plots: list[Plot] = []
    for backbone, study, lines in of_backbones(name, track, "label_noise", LabelNoise, counted):
        plots += _strengths(name, backbone, study, lines)
        plots += _epochs(name, backbone, study, lines)
    return plots


def imbalance_plots(name: str, track: Track, counted: Counted) -> list[Plot]:
    """Total and minority error of each way to train: by profile, and over the number that shapes one."""
    plots: list[Plot] = []
    for backbone, study, lines in of_backbones(name, track, "imbalance", Imbalance, counted):
        shaped = _shapes(lines)
        alone = [
            profile
            for profile in study.profiles
            if not any(profile in values for values in shaped.values())
            and any(profile in f.records for found in lines.values() for f in found)
        ]
        if alone:
            plots.append(_profiles(name, backbone, study, lines, alone))
        for key, values in shaped.items():
            plots += _tails(name, backbone, study, lines, key, values)
    return plots


def _shapes(lines: Lines) -> dict[tuple[str, str], dict[str, float]]:
    """Method and hyper-parameter → profile → value, of three profiles or more that differ in it alone."""
    methods: dict[str, dict[str, Mapping[str, Any]]] = {}
    for found in lines.values():
        for item in found:
            for profile, record in item.records.items():
                trained = record.training
                done = ((trained and trained.training_set) or {})["profile"]
                methods.setdefault(done["method"], {})[profile] = done["hyperparameters"]
    shapes = {}
    for method, given in methods.items():
        for key in next(iter(given.values())):
            at = {p: float(v[key]) for p, v in given.items() if isinstance(v.get(key), int | float)}
            others = [{k: v for k, v in numbers.items() if k != key} for numbers in given.values()]
            same = len(at) == len(given) and all(other == others[0] for other in others)
            if same and len(set(at.values())) > 2:
                shapes[method, key] = dict(sorted(at.items(), key=lambda item: item[1]))
    return shapes


def _profiles(name: str, backbone: str, study: Imbalance, lines: Lines, profiles: Sequence[str]) -> Plot:
    """A row of panels for each profile, inits side by side."""
    inits, methods = inits_in(study, lines), list(dict.fromkeys(row for row, _ in lines))
    title = f"{backbone}: errors on a balanced test set after training on a long tail"
    spoken = []
    with house_style():
        high = 0.5 + 0.3 * len(methods)
        figure = Figure(figsize=(WIDTH, 0.8 + high * len(profiles)), layout="constrained")
        axes = figure.subplots(len(profiles), 2, sharex=True, sharey=True, squeeze=False)
        for r, profile in enumerate(profiles):
            for c, part in enumerate(PARTS):
                axis = axes[r, c]
                for (row, init), found in lines.items():
                    metric = f"{profile}.{part}.error"
                    values = [PERCENT * f.numbers[metric] for f in found if metric in f.numbers]
                    if values:
                        i = inits.index(init)
                        y = methods.index(row) + 0.28 * (i - (len(inits) - 1) / 2)
                        style = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
                        mean = draw_interval(axis, y, values, init, style)
                        spoken.append(f"{profile}, {part}, {row} from {init}: {mean:.1f}")
                axis.set_title(f"{words(profile)}: {part} error")
            axes[r, 0].set_yticks(range(len(methods)), [words(method) for method in methods])
            axes[r, 0].set_ylim(len(methods) - 0.5, -0.5)
        for axis in axes[-1]:
            axis.set_xlabel("error (%)")
        legend_above(figure, list(axes.ravel()), 4)
        alt = f"{title}, in percent: mean over seeds with 95 % t intervals. {'; '.join(spoken)}."
        return finish(figure, file_name("imbalance", name, backbone), title, alt)


def _tails(
    name: str,
    backbone: str,
    study: Imbalance,
    lines: Lines,
    shape: tuple[str, str],
    values: Mapping[str, float],
) -> list[Plot]:
    """A row of panels for each error, over the number that shapes a tail."""

    def errors(found: Studied, part: str) -> dict[float, float]:
        names = {f"{profile}.{part}.error": value for profile, value in values.items()}
        return {x: found.numbers[metric] for metric, x in names.items() if metric in found.numbers}

    method, number = shape
    title = f"{backbone}: total and minority error against {number} of the {method} tail"
    file = file_name("imbalance", name, backbone, method)
    return _by_init(study, lines, PARTS, errors, number, file, title)


def _strengths(name: str, backbone: str, study: LabelNoise, lines: Lines) -> list[Plot]:
    """A row of panels for each noise, over its strength."""
    title = f"{backbone}: test error against the strength of label noise"
    file = file_name("label_noise", name, backbone, "strength")
    return _by_init(study, lines, [*study.noises], _errors, "strength", file, title)


def _by_init(
    study: Study,
    lines: Lines,
    rows: Sequence[str],
    errors: Callable[[Studied, str], Mapping[float, float]],
    label: str,
    file: str,
    title: str,
) -> list[Plot]:
    """Curves of errors in percent: a row of panels for each of `rows`, a column for each init.

    `errors` gives those of one seed. Seeds that have none are left out; a curve is over what the others have
    in common.
    """
    drawn: dict[str, dict[tuple[str, str], tuple[list[float], list[list[float]]]]] = {}
    for shown in rows:
        for key, found in lines.items():
            by_seed = [one for one in (errors(item, shown) for item in found) if one]
            x = sorted(set.intersection(*map(set, by_seed))) if by_seed else []
            if x:
                curves = [[PERCENT * one[value] for value in x] for one in by_seed]
                drawn.setdefault(shown, {})[key] = x, curves
    if not drawn:
        return []
    inits = inits_in(study, lines)
    spoken = []
    with house_style():
        figure = Figure(figsize=(WIDTH, 0.9 + 2.1 * len(drawn)), layout="constrained")
        axes = figure.subplots(len(drawn), len(inits), sharex=True, sharey=True, squeeze=False)
        for r, (shown, of) in enumerate(drawn.items()):
            for (row, init), (x, curves) in of.items():
                axis, style = axes[r, inits.index(init)], row_style(study, row)
                means = draw_mean(axis, x, curves, words(row), style)
                at = ", ".join(f"{m:.1f} at {value:g}" for value, m in zip(x, means, strict=True))
                spoken.append(f"{shown}, {row} from {init} ({len(curves)}): {at}")
            axes[r, 0].set_ylabel("error (%)")
            for c, init in enumerate(inits):
                axes[r, c].set_title(f"{words(shown)}, {init}")
        for axis in axes[-1]:
            axis.set_xlabel(label)
        legend_above(figure, list(axes.ravel()), 4)
        alt = (
            f"{title}: mean over seeds, their number in brackets, with 95 % t intervals as bands. "
            f"{'; '.join(spoken)}."
        )
        return [finish(figure, file, title, alt)]


def _errors(found: Studied, noise: str) -> dict[float, float]:
    """Error of one seed by strength."""
    parsed = {parse_noise(condition): record for condition, record in found.records.items()}
    return {key[1]: r.numbers["test.error"] for key, r in parsed.items() if key and key[0] == noise}


def _epochs(name: str, backbone: str, study: LabelNoise, lines: Lines) -> list[Plot]:
    """Test error after each epoch, a panel for each condition that is watched."""
    watched: dict[str, dict[tuple[str, str], list[list[float]]]] = {}
    for key, found in lines.items():
        for item in found:
            for condition, record in item.records.items():
                if curve := record.series.get("test_error"):
                    watched.setdefault(condition, {}).setdefault(key, []).append([PERCENT * e for e in curve])
    if not watched:
        return []
    title = f"{backbone}: test error over the epochs of training on noisy labels"
    spoken = []
    with house_style():
        figure, axes = panel_grid(len(watched), 3, 2.1)
        for axis, condition in zip(axes, sorted(watched, key=_natural), strict=True):
            for (row, init), curves in watched[condition].items():
                epochs = min(map(len, curves))
                x = [float(epoch) for epoch in range(1, epochs + 1)]
                label, style = f"{words(row)}, {init}", line_style_of(study, row, init)
                means = draw_mean(axis, x, [c[:epochs] for c in curves], label, style)
                spoken.append(
                    f"{condition}, {row} from {init}: at least {min(means):.1f}, in the end {means[-1]:.1f}"
                )
            axis.set(title=condition.replace("@", " noise, strength "), xlabel="epoch", ylim=(0, None))
        axes[0].set_ylabel("error (%)")
        legend_above(figure, axes, 3)
        alt = (
            f"{title}, for curves only: mean over seeds with 95 % t intervals as bands. {'; '.join(spoken)}."
        )
        return [finish(figure, file_name("label_noise", name, backbone, "epochs"), title, alt)]


def _natural(condition: str) -> tuple[str, float]:
    return parse_noise(condition) or (re.sub(r"@.*", "", condition), 0.0)


LABEL_NOISE = PlotSection(
    "label_noise",
    "Label noise",
    "Error on test images with right labels after training on wrong ones. Strength 0 is no noise; what "
    "strength 1 means depends on the noise.",
    noise_plots,
    partial(_remarks, "label_noise"),
)
IMBALANCE = PlotSection(
    "imbalance",
    "Class imbalance",
    "Error on a balanced test set after training on a long tail: over all classes, and over those with fewer "
    "images than the mean.",
    imbalance_plots,
    partial(_remarks, "imbalance"),
)
