"""Plots of the studies `label_noise` and `imbalance`: test errors of ways to train on bad training sets.

This module must not know how a figure looks or where it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from benchmark.spec import Track
from benchmark.spec_studies import Imbalance, LabelNoise, Study
from reports.figures import (
    COLOURS,
    WIDTH,
    Plot,
    draw_interval,
    draw_mean,
    file_name,
    finish,
    house_style,
    legend_above,
    panel_grid,
)
from reports.selection import Selection
from reports.studies import Studied
from reports.study_numbers import parse_noise
from reports.study_plots import PERCENT, Lines, inits_in, line_style_of, of_backbones, row_style, words

MARKERS = "osD^v"
PARTS = "total", "minority"  # errors under imbalance


def means_sentence(names: Sequence[str], strengths: Sequence[float]) -> str:
    """What areas and means are over: noises and their strengths, or long tails."""
    if not strengths:
        return f"means are over the long tails {', '.join(names)}"
    return (
        f"areas and means are over {', '.join(names)} at strengths {', '.join(f'{p:g}' for p in strengths)}"
    )


def noise_plots(name: str, track: Track, selection: Selection) -> list[Plot]:
    """Error against the strength of each noise, and test error over epochs, for each backbone."""
    plots: list[Plot] = []
    for backbone, study, lines in of_backbones(name, track, "label_noise", LabelNoise, selection):
        plots.append(_strengths(name, backbone, study, lines))
        plots += _epochs(name, backbone, study, lines)
    return plots


def imbalance_plots(name: str, track: Track, selection: Selection) -> list[Plot]:
    """Total and minority error of each way to train: by profile, and over the number that shapes one."""
    plots: list[Plot] = []
    for backbone, study, lines in of_backbones(name, track, "imbalance", Imbalance, selection):
        shaped = _shapes(lines)
        alone = [
            profile
            for profile in study.profiles
            if not any(profile in values for values in shaped.values())
            and any(profile in f.records for found in lines.values() for f in found)
        ]
        if alone:
            plots.append(_profiles(name, backbone, study, lines, alone))
        plots += [_tails(name, backbone, study, lines, key, values) for key, values in shaped.items()]
    return plots


def _shapes(lines: Lines) -> dict[tuple[str, str], dict[str, float]]:
    """Method and hyper-parameter → profile → value, of three profiles or more that differ in it alone."""
    methods: dict[str, dict[str, Mapping[str, Any]]] = {}
    for found in lines.values():
        for item in found:
            for profile, record in item.records.items():
                done = (record.training.training_set or {})["profile"]
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
) -> Plot:
    """A row of panels for each error, over the number that shapes a tail."""

    def errors(found: Sequence[Studied], part: str) -> tuple[list[float], list[list[float]]]:
        names = {p: f"{p}.{part}.error" for p in values}
        there = [p for p, metric in names.items() if all(metric in f.numbers for f in found)]
        return [values[p] for p in there], [[PERCENT * f.numbers[names[p]] for p in there] for f in found]

    method, number = shape
    title = f"{backbone}: total and minority error against {number} of the {method} tail"
    return _by_init(
        study, lines, PARTS, errors, number, file_name("imbalance", name, backbone, method), title
    )


def _strengths(name: str, backbone: str, study: LabelNoise, lines: Lines) -> Plot:
    """A row of panels for each noise, over its strength."""
    noises = [n for n in study.noises if any(_errors(found, n)[0] for found in lines.values())]
    title = f"{backbone}: test error against the strength of label noise"
    file = file_name("label_noise", name, backbone, "strength")
    return _by_init(study, lines, noises, _errors, "strength", file, title)


def _by_init(
    study: Study,
    lines: Lines,
    rows: Sequence[str],
    errors: Callable[[Sequence[Studied], str], tuple[list[float], list[list[float]]]],
    label: str,
    file: str,
    title: str,
) -> Plot:
    """Curves of errors in percent: a row of panels for each of `rows`, a column for each init.

    `errors` gives the abscissas that all seeds have, and the curve of each seed.
    """
    inits = inits_in(study, lines)
    spoken = []
    with house_style():
        figure = Figure(figsize=(WIDTH, 0.9 + 2.1 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), len(inits), sharex=True, sharey=True, squeeze=False)
        for r, shown in enumerate(rows):
            for (row, init), found in lines.items():
                x, by_seed = errors(found, shown)
                if x:
                    style = row_style(study, row)
                    means = draw_mean(axes[r, inits.index(init)], x, by_seed, words(row), style)
                    at = ", ".join(f"{m:.1f} at {p:g}" for p, m in zip(x, means, strict=True))
                    spoken.append(f"{shown}, {row} from {init}: {at}")
            axes[r, 0].set_ylabel("error (%)")
            for c, init in enumerate(inits):
                axes[r, c].set_title(f"{words(shown)}, {init}")
        for axis in axes[-1]:
            axis.set_xlabel(label)
        legend_above(figure, list(axes.ravel()), 4)
        alt = f"{title}: mean over seeds with 95 % t intervals as bands. {'; '.join(spoken)}."
        return finish(figure, file, title, alt)


def _errors(found: Sequence[Studied], noise: str) -> tuple[list[float], list[list[float]]]:
    """The strengths that all seeds have, and the error of each seed at them, in percent."""
    by_seed = []
    for item in found:
        parsed = {parse_noise(condition): record for condition, record in item.records.items()}
        by_seed.append(
            {key[1]: r.numbers["test.error"] for key, r in parsed.items() if key and key[0] == noise}
        )
    strengths = sorted(set.intersection(*map(set, by_seed)))
    return strengths, [[PERCENT * errors[p] for p in strengths] for errors in by_seed]


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
