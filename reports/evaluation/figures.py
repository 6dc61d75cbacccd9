"""Figures of an evaluation, as wide as a phone: SVG written by hand, each with its main numbers as text.

Lines say twice which they are, by colour and by dashes. This module must not know where a figure is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from unicodedata import east_asian_width

from benchmark.evaluation.outcome import Outcome
from benchmark.studies.detection.measurement import Reliability
from reports.boards.side_by_side import ROUNDED, beyond, front, rounded_cost
from reports.costs import FORWARDS
from reports.evaluation.corruptions import MEASURES, levels, mean_at
from reports.evaluation.scores import no_formula
from reports.evaluation.words import best_of, listed, ood_sets, score, share, short
from reports.plots.data import shown
from reports.plots.figures import COLOURS
from reports.plots.pareto import Point, pareto
from reports.plots.small import AREA, HEIGHT, LEFT, TOP, Axes, figure, steps, stroke, text_at
from reports.site.sections import Plot

ID_INK, INK = "#1f5c8a", "#222222"
MARK = "#A63A00"  # the threshold
DASHES = ("", "6 3", "2 2", "9 3 2 3")
ROW = 17  # CSS pixels from a line of the legend to the next
SWATCH = 24
FITS = 22  # letters of a name in a legend
CHANCE = "#999999"

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A line of a figure, as its legend has it."""

    name: str
    points: Points
    colour: str
    dashes: str
    said: str = ""  # after the name


def histograms(outcome: Outcome) -> tuple[Plot, ...]:
    """How the recommended detector's scores lie: ID test images and each OOD set, with the threshold."""
    edges, of_id = outcome.drawn.edges, outcome.drawn.histograms["id"]
    cut, best = outcome.thresholds[0], best_of(outcome)
    room = 0.0 if edges[-1] > edges[0] else 0.5  # all scores are equal
    ends = edges[0] - room, edges[-1] + room
    plots = []
    for i, one in enumerate(ood_sets(outcome)):
        heights = outcome.drawn.histograms[one.name]
        axes = Axes(ends, (0, max(*of_id, *heights) or 1), TOP + 3 * ROW)
        base = axes.at(edges[-1], 0)[1]
        x, _ = axes.at(min(max(cut.threshold, ends[0]), ends[1]), 0)
        colour = _colour(i)
        inside = [
            f'<path d="{steps(axes, edges, of_id)}V{base}Z" fill="{AREA}"/>',
            stroke(steps(axes, edges, heights), colour, ""),
            f'<path d="M{x} {TOP + 3 * ROW - 6}V{base}" stroke="{MARK}" stroke-width="1.6" '
            'stroke-dasharray="5 3"/>',
            *axes.frame("score (higher = more in-distribution)", "images (%)", percent=False),
            f'<rect x="{LEFT}" y="{TOP - 5}" width="{SWATCH}" height="9" fill="{AREA}"/>',
            _entry(TOP + 4, "ID test images", ID_INK),
            stroke(f"M{LEFT} {TOP + ROW}h{SWATCH}", colour, ""),
            _entry(TOP + ROW + 4, f"{_clipped(one.name)}, {one.role} OOD", colour),
            stroke(f"M{LEFT} {TOP + 2 * ROW}h{SWATCH}", MARK, "5 3"),
            _entry(TOP + 2 * ROW + 4, f"threshold {score(cut.threshold)}: accepted from here on", MARK),
        ]
        kept, passed = share(cut.kept.value), share(cut.passed[one.name].value)
        alt = (
            f"Histograms of the scores of {best.name}: ID test images and {one.name} ({one.role} OOD). At "
            f"{score(cut.threshold)} or more {kept} of the ID images and {passed} of the OOD images are "
            f"accepted; AUROC {share(best.sets[one.name].auroc.value)}."
        )
        data = [
            ("", no_formula(name), "bar", shown((low + high) / 2), shown(height), shown(low), shown(high))
            for name, bars in (("id", of_id), (one.name, heights))
            for height, low, high in zip(bars, edges, edges[1:], strict=False)
        ]
        data.append(("", "threshold", "point", shown(cut.threshold), "", "", ""))
        plots.append(figure(f"scores-{i + 1}.svg", f"Scores: ID and {short(one.name)}", alt, inside, data))
    return tuple(plots)


def roc(outcome: Outcome) -> Plot:
    """ROC curves of the recommended detector, one for each OOD set, with the threshold on each."""
    best, cut, sets = best_of(outcome), outcome.thresholds[0], ood_sets(outcome)
    lines = [
        Line(
            one.name,
            list(zip(outcome.drawn.fpr, outcome.drawn.tpr[one.name], strict=True)),
            _colour(i),
            DASHES[(i + i // len(COLOURS)) % len(DASHES)],
            f"{one.role}, {share(best.sets[one.name].auroc.value)}",
        )
        for i, one in enumerate(sets)
    ]
    marks = [(cut.passed[one.name].value, cut.kept.value) for one in sets]
    told = (f"{one.name} ({one.role}) {share(best.sets[one.name].auroc.value)}" for one in sets)
    alt = (
        f"ROC curves of {best.name}: share of the ID images that is kept against the share of the OOD images "
        f"that is let through. AUROC: {listed(told)}. Dots: the threshold {score(cut.threshold)}."
    )
    axes = _with_legend((0, 1), (0, 1), len(lines))
    (left, bottom), (right, top) = axes.at(0, 0), axes.at(1, 1)
    chance = f'<path d="M{left} {bottom}L{right} {top}" stroke="{CHANCE}" stroke-width=".8"/>'
    return _lines(
        "roc.svg",
        "ROC curves, with AUROC",
        alt,
        lines,
        axes,
        [chance, *axes.frame("OOD images let through (%)", "ID images kept (%)", percent=True)],
        marks,
    )


def costs(outcome: Outcome) -> tuple[Plot, ...]:
    """Cost against mean AUROC, with the detectors that no other beats at its cost; none of a single one."""
    if len(outcome.detectors) < 2:
        return ()
    rounded = [(rounded_cost(max(one.cost, 1.0), FORWARDS), one.mean.value) for one in outcome.detectors]
    kept = front(rounded)
    points = [
        Point(
            one.name,
            beyond(one.cost),
            one.mean.value,
            i in kept,
            beyond(rounded[i][0] - ROUNDED / 2),
            one.name == outcome.recommended.name,
        )
        for i, one in enumerate(outcome.detectors)
    ]
    first = sorted(kept, key=lambda i: outcome.detectors[i].cost)
    spoken = (
        f"{one.name} {one.cost:.2f}, {share(one.mean.value)}" for one in (outcome.detectors[i] for i in first)
    )
    alt = (
        f"Cost in forward passes against mean AUROC of {len(points)} detectors. On the Pareto front, with "
        f"cost and AUROC: {'; '.join(spoken)}. Recommended: {outcome.recommended.name}."
    )
    across = "time beyond the forward pass, in % of it (logarithmic)"
    return (pareto("costs.svg", "Cost and mean AUROC", alt, points, across, "mean AUROC (%)"),)


def reliability(outcome: Outcome) -> tuple[Plot, ...]:
    """Accuracy against confidence of the classifier, before and after temperature scaling."""
    found = outcome.classified
    if found is None:
        return ()
    before, after = found.calibration.ece, found.calibration_scaled.ece
    scaled = f"Reliability at T = {found.temperature:.3g}"
    return (
        _reliability("reliability.svg", "Reliability at T = 1", found.reliability, before),
        _reliability("reliability-scaled.svg", scaled, found.reliability_scaled, after),
    )


def risk_coverage(outcome: Outcome) -> tuple[Plot, ...]:
    """Error of the ID test images that are kept, when those with the lowest scores are rejected."""
    selective, cut = outcome.selective, outcome.thresholds[0]
    if selective is None:
        return ()
    points = sorted(zip(selective.coverage, selective.risk, strict=True))
    marks = [] if cut.accuracy_kept is None else [(cut.kept.value, 1 - cut.accuracy_kept.value)]
    highest = max(risk for _, risk in (*points, *marks)) or 0.01
    axes = Axes((0, 1), (0, 1.08 * highest))
    best = outcome.recommended.name
    at = "" if not marks else f" At the threshold: {share(marks[0][0])} kept, {share(marks[0][1])} wrong."
    alt = (
        f"Share of wrong classes among the ID test images that are kept, against the share that is kept, "
        f"when those that {best} scores lowest are rejected. Of all images {share(points[-1][1])} are wrong; "
        f"area {share(selective.aurc, 2)}.{at}"
    )
    line = Line(best, points, COLOURS[1], "")
    frame = axes.frame("ID images kept (%)", "of these wrong (%)", percent=True)
    return (
        _lines("risk-coverage.svg", "Errors against coverage", alt, [line], axes, [*frame], marks, False),
    )


def corruptions(outcome: Outcome) -> tuple[Plot, ...]:
    """Means over the kinds of corruption, by severity."""
    severities = levels(outcome.corrupted)
    lines = []
    for i, (field, title) in enumerate(MEASURES.items()):
        means = [(float(at), mean_at(outcome.corrupted, field, at)) for at in severities]
        points = [(at, mean) for at, mean in means if mean is not None]
        if points:
            lines.append(Line(title, points, COLOURS[i], DASHES[i]))
    if not lines:
        return ()
    heights = [y for line in lines for _, y in line.points]
    low, high = min(heights), max(heights)
    room = 0.06 * (high - low) or 0.01
    axes = _with_legend((1, 5), (low - room, high + room), len(lines))
    spoken = "; ".join(f"{line.name} {', '.join(share(y) for _, y in line.points)}" for line in lines)
    alt = f"Means over the kinds of corruption, at severities {', '.join(map(str, severities))}: {spoken}."
    frame = axes.frame("severity", "share (%)", percent=False)
    return (_lines("corrupted.svg", "Means over all kinds", alt, lines, axes, [*frame], [], dotted=True),)


def _reliability(file: str, title: str, bins: Reliability, error: float) -> Plot:
    axes = Axes((0, 1), (0, 1))
    (left, bottom), (right, top) = axes.at(0, 0), axes.at(1, 1)
    most, everything = max(bins.count), sum(bins.count)
    bars, dots = [], []
    for low, high, count, x, y in zip(
        bins.lower, bins.upper, bins.count, bins.confidence, bins.accuracy, strict=True
    ):
        (begin, upper), (end, _) = axes.at(low, y), axes.at(high, y)
        width, height = round(end - begin, 1), round(bottom - upper, 1)
        bars.append(f'<rect x="{begin}" y="{upper}" width="{width}" height="{height}"/>')
        cx, cy = axes.at(x, y)
        dots.append(f'<circle cx="{cx}" cy="{cy}" r="{1.5 + 4 * sqrt(count / most):.1f}"/>')
    inside = [
        f'<g fill="{AREA}" stroke="#fff">{"".join(bars)}</g>',
        f'<path d="M{left} {bottom}L{right} {top}" stroke="{CHANCE}" stroke-width="1"/>',
        f'<g fill="{COLOURS[1]}" stroke="#fff" stroke-width=".8">{"".join(dots)}</g>',
        *axes.frame("confidence (%)", "accuracy (%)", percent=True),
        text_at(left + 8, top + 10, f"ECE {share(error)}", "start"),
    ]
    alt = (
        f"{title}: accuracy against mean confidence of {everything:,} ID test images in bins; the diagonal "
        f"is perfect calibration, and a dot is as large as its bin. ECE {share(error)}."
    )
    rows = zip(bins.lower, bins.upper, bins.confidence, bins.accuracy, strict=True)
    data = [("", "accuracy", "bar", shown(x), shown(y), shown(low), shown(high)) for low, high, x, y in rows]
    return figure(file, title, alt, inside, data)


def _lines(
    file: str,
    title: str,
    alt: str,
    lines: Sequence[Line],
    axes: Axes,
    frame: Sequence[str],
    marks: Points,
    legend: bool = True,
    dotted: bool = False,
) -> Plot:
    """Lines in a frame, with marks at the threshold, and a legend below."""
    inside = [
        stroke(
            "M" + "L".join(f"{x} {y}" for x, y in (axes.at(*point) for point in line.points)), *_look(line)
        )
        for line in lines
    ]
    for line in lines if dotted else ():
        places = (axes.at(*point) for point in line.points)
        inside += [f'<circle cx="{x}" cy="{y}" r="3" fill="{line.colour}"/>' for x, y in places]
    for x, y in (axes.at(*mark) for mark in marks):
        inside.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{MARK}" stroke="#fff"/>')
    inside += frame
    inside += _legend(lines) if legend else ()
    data = [
        ("", no_formula(line.name), "line", shown(x), shown(y), "", "")
        for line in lines
        for x, y in line.points
    ]
    data += [("", "threshold", "point", shown(x), shown(y), "", "") for x, y in marks]
    return figure(file, title, alt, inside, data, axes.height)


def _look(line: Line) -> tuple[str, str]:
    return line.colour, line.dashes


def _with_legend(x: tuple[float, float], y: tuple[float, float], rows: int) -> Axes:
    """Axes of the usual size, below a line for each row of a legend."""
    above = ROW * rows
    return Axes(x, y, TOP + above, height=HEIGHT + above)


def _legend(lines: Sequence[Line]) -> Iterator[str]:
    for i, line in enumerate(lines):
        y = TOP + ROW * i
        yield stroke(f"M{LEFT} {y}h{SWATCH}", *_look(line))
        told = f" ({line.said})" if line.said else ""
        yield _entry(y + 4, f"{_clipped(line.name)}{told}", line.colour)


def _entry(y: float, text: str, colour: str) -> str:
    return text_at(LEFT + SWATCH + 6, y, text, "start", colour=colour if colour in (ID_INK, MARK) else INK)


def _clipped(name: str) -> str:
    """As much of a name as a line of a legend holds."""
    room, kept = FITS, ""
    for letter in name:
        room -= 2 if east_asian_width(letter) in "WF" else 1
        if room < 0:
            return f"{kept}…"
        kept += letter
    return name


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]
