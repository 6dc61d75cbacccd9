"""Which entry is best on the whole: mean ranks, the heat map of entries and settings, who beats whom."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from benchmark.spec.leaderboard import Spec
from reports.boards.overall import DRAWS, Floats, Overall
from reports.pages.method_text import path_of
from reports.site.cells import Content, Number
from reports.site.frame import page_of
from reports.site.sections import Column, Page, Paragraph, Row, Section, Table
from reports.site.text import Link, Text

NAME = "overall"
SHADES = 8  # from the worst to the best
RIVALS = 20  # rows and columns of the matrix that is shown


def overall_page(spec: Spec, found: Overall | None) -> Page | None:
    """The page; None where there is no ordering."""
    if found is None:
        return None
    page = page_of(
        NAME,
        "Which detector is best on the whole?",
        answer(found),
        Section("ranks", "Mean ranks", (Paragraph(_about(found)), _ranks(spec, found))),
        heat_section(spec, found),
        _matrix(spec, found),
    )
    assert page is not None
    data = {f"data/{NAME}.csv": _csv(found), f"data/{NAME}_beats.csv": _beats_csv(found)}
    return replace(page, files=data)


def answer(found: Overall) -> str:
    """Which entry has the best mean rank, and how sure that is."""
    near, bounds = found.rank["near"], found.interval["near"]
    rivals = int(np.sum(bounds[0] <= bounds[1, 0])) - 1
    best = f"{found.entries[0]} has the best mean rank by near AUROC: {near[0]:.1f} of {len(found.entries)}"
    interval = f" (95 % interval {bounds[0, 0]:.1f} to {bounds[1, 0]:.1f})"
    others = "no other entry's interval reaches" if not rivals else f"the intervals of {rivals} others reach"
    return f"{best}{interval}; {others} into its own. {_settings(found)}"


def _settings(found: Overall) -> str:
    tracks = len({one.track for one in found.settings})
    return (
        f"Made of {len(found.settings)} settings on {tracks} tracks of {len(found.datasets)} ID "
        f"datasets ({', '.join(found.datasets)}): few, and those of one dataset are no independent evidence."
    )


def _about(found: Overall) -> str:
    return (
        "The rank within a setting (a track, a backbone, an init) is by mean AUROC over the OOD sets that no "
        "weights of the track were trained on, and over seeds. Tracks weigh the same, and the settings of a "
        f"track do. Intervals are of 95 %, from {DRAWS:,} bootstrap draws of tracks, OOD sets and seeds. "
        "Only entries that every setting has, with published hyper-parameters, on networks of cross-entropy."
    )


def _entry(spec: Spec, entry: str) -> Text:
    return (Link(entry, path_of("detectors", spec.entries[entry].detector)),)


def _ranks(spec: Spec, found: Overall) -> Table:
    inits = list(dict.fromkeys(one.init for one in found.settings))
    rows = []
    for i, entry in enumerate(found.entries):
        cells: list[Content] = [_entry(spec, entry), i + 1]
        for group in ("near", "far"):
            low, high = found.interval[group][:, i]
            cells += [
                Number(float(found.rank[group][i]), percent=False, digits=1),
                f"{low:.1f}–{high:.1f}",
            ]
        for init in inits:
            ours = [k for k, one in enumerate(found.settings) if one.init == init]
            cells.append(Number(float(found.by_setting[i, ours].mean()), percent=False, digits=1))
        rows.append(Row(tuple(cells)))
    of_init = (Column(f"Near, {init}", better="lower") for init in inits)
    columns = (
        Column("Entry", "text"),
        Column("Position"),
        Column("Near", better="lower"),
        Column("95 % interval"),
        Column("Far", better="lower"),
        Column("95 % interval"),
        *of_init,
    )
    return Table(columns, tuple(rows), about="Mean rank by AUROC", sortable=True)


def heat_section(spec: Spec, found: Overall, most: int | None = None) -> Section:
    """The heat map: near AUROC of entries (the best `most` of them) in each setting."""
    means = np.stack([one.means("near") for one in found.settings], axis=1)
    shades = np.stack([_shades(column) for column in means.T], axis=1)
    rows = tuple(
        Row((_entry(spec, entry), *map(_shaded, means[i], shades[i])))
        for i, entry in enumerate(found.entries[:most])
    )
    columns = (
        Column("Entry", "text"),
        *(Column(_head(one.labels), better="higher") for one in found.settings),
    )
    text: Text = (
        "Near AUROC over the OOD sets that no weights of the track were trained on. The darker, the higher "
        "within its column. Entries stand in the order of their ",
        Link("mean rank", NAME),
        "." if most is None else f"; the first {most} of {len(found.entries)}.",
    )
    title = "Entries by track, backbone and init"
    return Section(
        "heat", title, (Paragraph(text), Table(columns, rows, about="Near AUROC")), short="Heat map"
    )


def _head(labels: Iterable[str]) -> str:
    return "\u00a0· ".join(labels)  # no line begins with a dot


def _shades(values: Floats) -> list[int]:
    """0 to SHADES − 1 by how high a value lies between the 5 % quantile of its column and the highest."""
    low, high = np.quantile(values, 0.05), values.max()
    share = np.clip((values - low) / (high - low or 1), 0, 1)
    return [int(one) for one in np.minimum(share * SHADES, SHADES - 1)]


def _shaded(value: float, shade: int) -> Number:
    return Number(float(value), shade=shade)


def _matrix(spec: Spec, found: Overall) -> Section:
    names = found.entries[:RIVALS]
    rows = []
    for i, entry in enumerate(names):
        shares = [
            None if i == j else Number(float(found.beats[i, j]), digits=0, shade=_of_share(found.beats[i, j]))
            for j in range(len(names))
        ]
        rows.append(Row((_entry(spec, entry), *shares)))
    text: Text = (
        "In how many of a hundred seeds the row has a higher near AUROC than the column, averaged over "
        f"settings; a tie counts half. The first {len(names)} of {len(found.entries)} entries; all of them: ",
        Link("matrix as CSV", file=f"data/{NAME}_beats.csv"),
        ", ",
        Link("ranks as CSV", file=f"data/{NAME}.csv"),
        ".",
    )
    table = Table((Column("Entry", "text"), *map(Column, names)), tuple(rows), about="Row beats column, %")
    return Section("beats", "How often each beats each", (Paragraph(text), table), short="Who beats whom")


def _of_share(share: float) -> int:
    return min(int(share * SHADES), SHADES - 1)


def _csv(found: Overall) -> str:
    head = ["entry", *(f"{group}.{what}" for group in ("near", "far") for what in ("rank", "low", "high"))]
    settings = [f"rank.{'.'.join(one.labels)}" for one in found.settings]
    rows: list[list[str]] = []
    for i, entry in enumerate(found.entries):
        numbers = [
            x for group in ("near", "far") for x in (found.rank[group][i], *found.interval[group][:, i])
        ]
        rows.append([entry, *(f"{x:.4g}" for x in (*numbers, *found.by_setting[i]))])
    return _written([[*head, *settings], *rows])


def _beats_csv(found: Overall) -> str:
    rows = [[entry, *(f"{x:.4g}" for x in found.beats[i])] for i, entry in enumerate(found.entries)]
    return _written([["entry", *found.entries], *rows])


def _written(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
