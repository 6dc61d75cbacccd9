"""What pre-training gives against the number of training images, over tracks that differ in nothing else.

Tracks of the same ID set, test images and OOD sets are one family; each has its number of training images of
a class, and its recipes. This module must not know which records count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.spec.leaderboard import Spec, Track
from reports.boards.pretraining import CONDITIONAL, CONFIRMATORY, Contrast, exploratory
from reports.boards.summary import Gains
from reports.plots.figures import NARROW, file_name, finish, house_style, legend_above, line_style, panel_grid
from reports.site.cells import Labels, Number, Range
from reports.site.cells import Metric as Measure
from reports.site.sections import Block, Column, Gallery, Paragraph, Plot, Row, Section, Table

PERCENT = 100
Line = tuple[str, str]  # backbone and init


@dataclass(frozen=True)
class Growth:
    """A measure's gains by pre-training in the tracks of a family, by backbone and init."""

    tracks: tuple[str, ...]
    title: str
    lines: Mapping[Line, Mapping[int, Contrast]]  # by training images of a class


def growths(spec: Spec, found: Sequence[Gains]) -> list[Growth]:
    """The measures whose gains are known for two numbers of training images at least."""
    grown = []
    for names in _families(spec):
        by_measure: dict[str, dict[Line, dict[int, Contrast]]] = {}
        for one in found:
            if one.track in names:
                count = _per_class(spec.tracks[one.track])
                for row in one.rows:
                    lines = by_measure.setdefault(row.metric.title, {})
                    lines.setdefault((row.backbone, one.init), {})[count] = row
        for title, lines in by_measure.items():
            several = {line: dict(sorted(by.items())) for line, by in lines.items() if len(by) > 1}
            if several:
                grown.append(Growth(names, title, several))
    return grown


def growth_section(grown: Sequence[Growth], spec: Spec) -> Section | None:
    """A figure and a table for each family of tracks; None where there is none."""
    if not grown:
        return None
    about = (
        "Gains by pre-training over training from scratch, paired by seed, on tracks that differ in the "
        "number of training images and in the recipe alone. OOD detection is by softmax confidence, over "
        "sets that no weights were trained on. Above 0, pre-training is better, also where lower is better."
    )
    parts = []
    for i, names in enumerate(dict.fromkeys(one.tracks for one in grown), start=1):
        ours = [one for one in grown if one.tracks == names]
        seeds = [row.gain.n for one in ours for by in one.lines.values() for row in by.values()]
        few = exploratory("gains", min(seeds) < CONFIRMATORY, small=True)
        body: list[Block] = [Gallery((_plot(names, ours),)), _table(f"growth-{i}", ours), *few]
        parts.append(Section("", spec.tracks[names[0]].title, tuple(body)))
    return Section(
        "growth",
        "Pre-training and the number of training images",
        (Paragraph(about), Paragraph(CONDITIONAL, small=True)),
        tuple(parts),
        short="Number of training images",
    )


def _families(spec: Spec) -> list[tuple[str, ...]]:
    families: dict[str, list[str]] = {}
    for name, track in spec.tracks.items():
        families.setdefault(repr((track.id, track.id_test, track.groups)), []).append(name)
    several = (names for names in families.values() if len({_per_class(spec.tracks[n]) for n in names}) > 1)
    return [tuple(names) for names in several]


def _per_class(track: Track) -> int:
    return int(track.split.train_per_class)


def _plot(names: tuple[str, ...], ours: Sequence[Growth]) -> Plot:
    title = "Gain by pre-training against the number of training images"
    keys = list(dict.fromkeys(line for one in ours for line in one.lines))
    spoken = []
    with house_style(8):
        figure, axes = panel_grid(len(ours), 2, 1.5, width=NARROW)
        for axis, one in zip(axes, ours, strict=True):
            axis.axhline(0, color="#777777", linewidth=1.1, zorder=1)
            for line, by in one.lines.items():
                style, label = line_style(keys.index(line)), ", ".join(line)
                means = [PERCENT * row.gain.mean for row in by.values()]
                axis.plot(list(by), means, marker="o", label=label, **style)
                drawn = [(n, row.gain) for n, row in by.items() if row.gain.n > 1]
                axis.fill_between(
                    [n for n, _ in drawn],
                    [PERCENT * gain.low for _, gain in drawn],
                    [PERCENT * gain.high for _, gain in drawn],
                    color=style["color"],
                    alpha=0.12,
                    linewidth=0,
                )
                said = ", ".join(f"{mean:+.1f} with {n}" for n, mean in zip(by, means, strict=True))
                spoken.append(f"{one.title}, {label}: {said}")
            counts = sorted({n for by in one.lines.values() for n in by})
            axis.set_xscale("log")
            axis.set_xticks(counts, [f"{n:,}" for n in counts])
            axis.set_xticks([], minor=True)
            axis.set_title(one.title)
        figure.supxlabel("training images of a class", fontsize=8)
        figure.supylabel("gain (points)", fontsize=8)
        legend_above(figure, axes, 1)
        alt = f"{title}: paired gains with 95 % t intervals as bands. {'; '.join(spoken)}."
        return finish(figure, file_name("growth", names[0]), title, alt)


def _table(id: str, ours: Sequence[Growth]) -> Table:
    rows = [
        (line, one, n, contrast)
        for one in ours
        for line, by in one.lines.items()
        for n, contrast in by.items()
    ]
    return Table(
        columns=(
            Column("Network", "text"),
            Column("Measure", "text"),
            Column("Images a class"),
            Column("Gain"),
            Column("95 % interval"),
            Column("Scratch"),
            Column("Pre-trained"),
            Column("Seeds"),
        ),
        rows=tuple(
            Row(
                (
                    Labels(line),
                    Measure(contrast.metric.title, contrast.metric.better),
                    n,
                    Number(contrast.gain.mean, signed=True),
                    Range(contrast.gain.low, contrast.gain.high) if contrast.gain.n > 1 else None,
                    Number(contrast.scratch),
                    Number(contrast.pretrained),
                    contrast.gain.n,
                ),
                i > 0 and rows[i - 1][:2] != (line, one),
            )
            for i, (line, one, n, contrast) in enumerate(rows)
        ),
        id=id,
        about="Gains by number of training images",
    )
